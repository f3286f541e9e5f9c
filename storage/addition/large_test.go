package addition_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"troupe/storage/addition"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// noise is bytes that never repeat.
func noise(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// socket gives bytes as a client's frames do.
type socket struct{ io.Reader }

func (s socket) Read(b []byte) (int, error) { return s.Reader.Read(b[:min(len(b), 32760)]) }

// largeArchive is a tree of a small file, a large one, and a small one.
func largeArchive(t *testing.T, large []byte) []byte {
	tree := tempDir(t)
	must(t, errors.Join(os.WriteFile(tree+"/a", []byte("a"), 0o644), os.WriteFile(tree+"/b", large, 0o755), os.WriteFile(tree+"/c", []byte("c"), 0o644)))
	return archiveOf(t, tree)
}

// TestAddLarge: what is large, or nearly, is there as it came, and so is its hash.
func TestAddLarge(t *testing.T) {
	ctx, s, all := context.Background(), newStore(t), noise(9<<20)
	for _, size := range []int{1<<20 - 1, 1 << 20, 1<<20 + 1, 1<<20 + 128<<10, 3<<19 - 1, 3 << 19, 3<<19 + 1, 3 << 20, 4<<20 + 1, 9 << 20} {
		data := all[:size]
		sent := largeArchive(t, data)
		p, err := s.adder().Add(ctx, addition.Object{Name: "tree", Method: storepath.NAR, Algorithm: nixhash.SHA256}, socket{bytes.NewReader(sent)})
		must(t, err)
		info, _, err := s.db.Get(p)
		must(t, err)
		if got, err := os.ReadFile(s.RealPath(p) + "/b"); err != nil || !bytes.Equal(got, data) || info.NarHash != nixhash.Sum(nixhash.SHA256, sent) || info.NarSize != uint64(len(sent)) {
			t.Errorf("%d bytes in a tree: %d are there, %d of %d are counted, %v", size, len(got), info.NarSize, len(sent), err)
		}
		if p, err = s.adder().Add(ctx, addition.Object{Name: "flat", Method: storepath.Flat, Algorithm: nixhash.SHA1}, socket{bytes.NewReader(data)}); err != nil {
			t.Fatal(err)
		}
		info, _, err = s.db.Get(p)
		must(t, err)
		if got, err := os.ReadFile(s.RealPath(p)); err != nil || !bytes.Equal(got, data) || info.CA != "fixed:"+nixhash.Sum(nixhash.SHA1, data).String() {
			t.Errorf("%d bytes alone: %d are there, %s, %v", size, len(got), info.CA, err)
		}
	}
}

// descriptors are how many this process has open.
func descriptors(t *testing.T) int {
	open, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(open)
}

// TestAddLargeFails: whatever ends it, and when, nothing is left: no file, no descriptor
// and no goroutine.
func TestAddLargeFails(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	sent := largeArchive(t, noise(5<<20))
	hash := nixhash.Sum(nixhash.SHA256, sent)
	archive := addition.Object{Name: "x", Method: storepath.NAR, Algorithm: nixhash.SHA256}
	flat := addition.Object{Name: "x", Method: storepath.Flat, Algorithm: nixhash.SHA256}
	goroutines, open := runtime.NumGoroutine(), descriptors(t)
	for _, end := range []int{1000, 1 << 20, 1<<20 + 700, 3 << 20, len(sent) - 1} {
		if _, err := s.adder().Add(ctx, archive, socket{bytes.NewReader(sent[:end])}); err == nil || !strings.Contains(err.Error(), "cut short") {
			t.Errorf("cut after %d bytes: %v", end, err)
		}
		for _, o := range []addition.Object{archive, flat} {
			lost := io.MultiReader(bytes.NewReader(sent[:end]), iotest.ErrReader(errHangUp))
			if _, err := s.adder().Add(ctx, o, lost); !errors.Is(err, errHangUp) {
				t.Errorf("%v, lost after %d bytes: %v", o.Method, end, err)
			}
			ends := &endsAfter{Context: ctx, end: end / 32760}
			if _, err := s.adder().Add(ends, o, socket{bytes.NewReader(sent)}); !errors.Is(err, context.Canceled) {
				t.Errorf("%v, cancelled after %d bytes: %v", o.Method, end, err)
			}
		}
	}
	p, err := s.Dir.MakeFixed("x", storepath.NAR, hash, nil, false)
	must(t, err)
	for what, info := range map[string]validity.Info{
		"hash": {Path: p, NarHash: nixhash.Sum(nixhash.SHA256, nil), NarSize: uint64(len(sent))},
		"size": {Path: p, NarHash: hash, NarSize: uint64(len(sent)) - 1},
	} {
		err := s.adder().AddNar(ctx, info, bytes.NewReader(sent), addition.Terms{Trusted: true})
		if err == nil || !strings.Contains(err.Error(), what+" mismatch importing path") {
			t.Errorf("another %s: %v", what, err)
		}
	}
	s.want(t)
	if n := descriptors(t); n != open {
		t.Errorf("%d descriptors are open, of %d before", n, open)
	}
	// Goroutines that have ended what they did wait a moment for more.
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are there, of %d before", runtime.NumGoroutine(), goroutines)
		}
	}
}
