package rows

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// added is a file or a tree that the stock client adds.
type added struct {
	*Env
	name string
	make func(e *Env, dir string, round int) error
	file string // of this round
	path storepath.Path
}

func newAdded(name string, make func(*Env, string, int) error) func(*Env) Task {
	return func(e *Env) Task { return &added{Env: e, name: name, make: make} }
}

// Prepare implements [Task]: what was added before is gone, and there is something
// new.
func (t *added) Prepare(ctx context.Context, s *side.Side, round int) error {
	if err := s.Collect(ctx); err != nil {
		return err
	}
	t.file = filepath.Join(t.Work, t.name)
	return t.make(t.Env, t.file, round)
}

// Measure implements [Task].
func (t *added) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	ran, err := s.Run(ctx, "nix-store", "--add", t.file)
	if err != nil {
		return err
	}
	sample.Items, sample.Wall = 1, ran.Took.Seconds()
	t.path, err = s.Dir.Parse(ran.Out)
	return err
}

// Check implements [Task].
func (t *added) Check(ctx context.Context, s *side.Side) error {
	want, err := hashOf(t.file)
	if err != nil {
		return err
	}
	return s.CheckHash(ctx, t.path, want)
}

// hashOf is the hash of a file's or a tree's archive.
func hashOf(file string) (nixhash.Hash, error) {
	h, _, err := archiveOf(file)
	return h, err
}

// archiveOf is that and the archive's size in bytes.
func archiveOf(file string) (nixhash.Hash, uint64, error) {
	s, err := localstore.Scan(file, nil)
	return s.NarHash, s.NarSize, err
}

// noise is bytes that look like those of no other seed.
func noise(seed uint64, size int) []byte {
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	data := make([]byte, size)
	source.Read(data)
	return data
}

// makeBig makes a file of a GiB.
func makeBig(e *Env, file string, round int) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	block := noise(uint64(round), 1<<20)
	for i := range e.n(1024) {
		copy(block, fmt.Sprint(e.Salt, i))
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return f.Close()
}

// makeTree makes 20,000 small files in directories of a hundred.
func makeTree(e *Env, dir string, round int) error {
	for i := range e.n(200) {
		sub := filepath.Join(dir, fmt.Sprint("d", i))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return err
		}
		for j := range 100 {
			text := fmt.Sprintf("%s %d %d %d\n", e.Salt, round, i, j)
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprint("f", j)), []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
