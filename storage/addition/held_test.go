package addition_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"troupe/storage/addition"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// TestAddAgainNeedsNoDisk: a small object that is valid is known by what comes, and
// nothing is staged for it.
func TestAddAgainNeedsNoDisk(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	tree := archiveOf(t, sampleTree(t))
	objects := []struct {
		m    storepath.Method
		a    nixhash.Algorithm
		sent []byte
	}{
		{storepath.Text, nixhash.SHA256, []byte("text")}, {storepath.Flat, nixhash.SHA1, []byte("flat")}, {storepath.Flat, nixhash.SHA256, nil},
		{storepath.NAR, nixhash.SHA256, tree}, {storepath.NAR, nixhash.SHA512, tree},
	}
	add := func(n int) (storepath.Path, error) {
		o := objects[n]
		r := bytes.NewReader(o.sent)
		p, err := s.adder().Add(ctx, addition.Object{Name: "x", Method: o.m, Algorithm: o.a}, r)
		if r.Len() > 0 {
			t.Errorf("%v: %d bytes are not read", o.m, r.Len())
		}
		return p, err
	}
	var paths []storepath.Path
	for n := range objects {
		p, err := add(n)
		must(t, err)
		paths = append(paths, p)
	}
	s.want(t, paths...)
	away := s.StagingDir() + "-away"
	must(t, os.Rename(s.StagingDir(), away))
	must(t, os.WriteFile(s.StagingDir(), nil, 0o644)) // where nothing can be made
	for n, p := range paths {
		if again, err := add(n); err != nil || again != p {
			t.Errorf("%v again: %v, %v", objects[n].m, again, err)
		}
	}
	must(t, os.Remove(s.StagingDir()))
	must(t, os.Rename(away, s.StagingDir()))
	s.want(t, paths...)
}

// TestAddAroundWhatIsHeld: what is a little less, as much, and more than a piece, than
// what is held of a file and of an archive, is added whole, once and again, and nothing
// after it is read.
func TestAddAroundWhatIsHeld(t *testing.T) {
	const piece, file, archive = 64 << 10, 1 << 20, 16 << 20
	s := newStore(t)
	text := strings.Repeat("0123456789abcde\n", archive/16+1)
	var paths []storepath.Path
	for _, limit := range []int{piece, file} {
		for _, size := range []int{limit - 1, limit, limit + 1} {
			paths = append(paths, addTwice(t, s, storepath.Flat, []byte(text[:size]), ""))
		}
	}
	for _, size := range []int{piece - 120, piece - 112, piece - 104, archive - 112, archive, archive + 1} { // 112 are around the contents
		f := tempDir(t) + "/file"
		must(t, os.WriteFile(f, []byte(text[:size]), 0o644))
		paths = append(paths, addTwice(t, s, storepath.NAR, archiveOf(t, f), "more"))
	}
	s.want(t, paths...)
	// Three trees at once, of which two have not all that they would hold.
	tree := tempDir(t) + "/tree"
	must(t, os.Mkdir(tree, 0o755))
	for n := range 6 {
		must(t, os.WriteFile(fmt.Sprint(tree, "/", n), []byte(text[:2<<20]), 0o644))
	}
	sent := archiveOf(t, tree)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { addTwice(t, s, storepath.NAR, sent, "") })
	}
	all.Wait()
}

func addTwice(t *testing.T, s store, m storepath.Method, sent []byte, more string) (p storepath.Path) {
	t.Helper()
	for range 2 {
		r := bytes.NewReader(append(bytes.Clone(sent), more...))
		again, err := s.adder().Add(context.Background(), addition.Object{Name: "x", Method: m, Algorithm: nixhash.SHA256}, r)
		if err != nil || r.Len() != len(more) || !p.IsZero() && again != p {
			t.Errorf("%v, %d bytes: %v after %v, %v, %d bytes are left", m, len(sent), again, p, err, r.Len())
		}
		p = again
	}
	return p
}
