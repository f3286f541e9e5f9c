package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
	"troupe/storage/binarycache"
	"troupe/storage/nar"
	"troupe/storage/narinfo"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// bulk is a large path on its way into a store or out of it, or looked at there.
type bulk struct {
	*Env
	prepare func(*bulk, context.Context, *side.Side) error // after the path was made
	args    func(*bulk, *side.Side) []string

	file string // is the path
	path storepath.Path
	hash nixhash.Hash
	size uint64 // of the archive
}

// manyBytes are the rows of a path of a GiB.
func manyBytes() []Row {
	row := func(work string, prepare func(*bulk, context.Context, *side.Side) error, args func(*bulk, *side.Side) []string, lines ...string) Row {
		return Row{Name: "B", Work: work + " a path of a GiB", Conf: side.Conf{Lines: lines},
			New: func(e *Env) Task { return &bulk{Env: e, prepare: prepare, args: args} }}
	}
	plain, packed := "substituters = {cache}?compression=none", "substituters = {cache}?compression=zstd"
	return []Row{
		row("export", (*bulk).add, (*bulk).export),
		row("import", (*bulk).away, func(t *bulk, _ *side.Side) []string {
			return []string{"sh", "-c", "nix-store --import < " + t.file + ".export"}
		}),
		row("copy out", (*bulk).add, func(t *bulk, s *side.Side) []string {
			return []string{"nix", "copy", "--no-check-sigs", "--to", "file://" + t.file + ".out?compression=none", s.Dir.Join(t.path)}
		}),
		row("copy in", (*bulk).cached, func(t *bulk, s *side.Side) []string {
			return []string{"nix", "copy", "--no-check-sigs", "--from", t.cache("none"), s.Dir.Join(t.path)}
		}),
		row("fetch", (*bulk).cached, (*bulk).realise, plain),
		row("fetch, with zstd,", (*bulk).zstd, (*bulk).realise, packed),
		row("verify", (*bulk).add, func(*bulk, *side.Side) []string { return []string{"nix-store", "--verify", "--check-contents"} }),
		row("optimise", (*bulk).add, func(*bulk, *side.Side) []string { return []string{"nix-store", "--optimise"} }),
	}
}

// Prepare implements [Task].
func (t *bulk) Prepare(ctx context.Context, s *side.Side, round int) (err error) {
	t.file = filepath.Join(t.Work, "bytes-"+s.Name)
	if err := errors.Join(s.Collect(ctx), makeBig(t.Env, t.file, round), os.RemoveAll(t.file+".out")); err != nil {
		return err
	}
	if t.hash, t.size, err = archiveOf(t.file); err != nil {
		return err
	}
	if t.path, err = s.Dir.MakeFixed(filepath.Base(t.file), storepath.NAR, t.hash, nil, false); err != nil {
		return err
	}
	return t.prepare(t, ctx, s)
}

func (t *bulk) add(ctx context.Context, s *side.Side) error {
	_, err := s.AddTree(ctx, t.file, t.path.Name())
	return err
}

func (t *bulk) export(s *side.Side) []string {
	return []string{"sh", "-c", "nix-store --export " + s.Dir.Join(t.path) + " > /dev/null"}
}

func (t *bulk) realise(s *side.Side) []string {
	return []string{"nix-store", "--realise", s.Dir.Join(t.path)}
}

// away exports what was added, and has the store without it.
func (t *bulk) away(ctx context.Context, s *side.Side) error {
	if err := t.add(ctx, s); err != nil {
		return err
	}
	if _, err := s.Run(ctx, "sh", "-c", "nix-store --export "+s.Dir.Join(t.path)+" > "+t.file+".export"); err != nil {
		return err
	}
	return s.Collect(ctx)
}

func (t *bulk) cache(method string) string { return cacheURL(t.Work) + "?compression=" + method }

func (t *bulk) cached(ctx context.Context, s *side.Side) error { return t.upload(ctx, s, "none") }
func (t *bulk) zstd(ctx context.Context, s *side.Side) error   { return t.upload(ctx, s, "zstd") }

func (t *bulk) upload(ctx context.Context, s *side.Side, method string) error {
	pool := binarycache.NewPool(binarycache.Settings{StoreDir: s.Dir, SpoolDir: t.Work})
	defer pool.Close()
	cache, err := pool.Open(t.cache(method))
	if err != nil {
		return err
	}
	if err := cache.Create(ctx); err != nil {
		return err
	}
	archive, to := io.Pipe()
	go func() { to.CloseWithError(nar.Dump(to, t.file)) }()
	_, err = cache.Upload(ctx, narinfo.Info{Path: t.path, NarHash: t.hash, NarSize: t.size}, archive)
	archive.CloseWithError(err)
	return err
}

// Measure implements [Task].
func (t *bulk) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	args := t.args(t, s)
	ran, err := s.Run(ctx, args[0], args[1:]...)
	sample.Items, sample.Wall = 1, ran.Took.Seconds()
	if err == nil && strings.Contains(ran.Said, "was modified") {
		err = fmt.Errorf("run %s: %s", args[0], ran.Said)
	}
	return err
}

// Check implements [Task].
func (t *bulk) Check(ctx context.Context, s *side.Side) error {
	return s.CheckHash(ctx, t.path, t.hash)
}
