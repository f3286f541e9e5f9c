package buildlog

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"troupe/storage/storepath"
)

// What was added is read, by us and by the name that Nix reads; a second log
// and one that breaks off change nothing. The largest is more than bzip2 takes at once.
func TestAdd(t *testing.T) {
	for _, size := range []int{0, 1, 1_000_000} {
		dir, want := t.TempDir(), text(size)
		broken := errors.New("broken")
		if err := Add(dir, drv(t), io.MultiReader(bytes.NewReader(want), iotest.ErrReader(broken))); !errors.Is(err, broken) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if left, err := os.ReadDir(filepath.Dir(Path(dir, drv(t)))); err != nil || len(left) > 0 {
			t.Errorf("%d bytes: left behind: %v %v", size, left, err)
		}
		must(t, Add(dir, drv(t), bytes.NewReader(want)))
		again := strings.NewReader("again")
		must(t, Add(dir, drv(t), again))
		wantRead(t, dir, want)
		if _, err := os.Stat(Path(dir, drv(t)) + ".bz2"); err != nil || again.Len() != 5 {
			t.Errorf("%d bytes: %v, %d bytes of the second are left", size, err, again.Len())
		}
	}
}

// The log of a build that is running is not touched.
func TestAddWhileItIsBuilt(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir)
	if _, err := l.Write([]byte("built")); err != nil {
		t.Fatal(err)
	}
	must(t, Add(dir, drv(t), strings.NewReader("added")))
	wantRead(t, dir, []byte("built"))
	must(t, l.Close())
	wantRead(t, dir, []byte("built"))
}

// The longest name that a store path can have leaves the log's own name 9 bytes
// below what file systems take.
func TestAddOfTheLongestName(t *testing.T) {
	dir := t.TempDir()
	long, err := storepath.ParseBase(strings.Repeat("a", 32) + "-" + strings.Repeat("n", 207) + ".drv")
	must(t, err)
	must(t, Add(dir, long, strings.NewReader("said")))
	if _, err := os.Stat(Path(dir, long) + ".bz2"); err != nil {
		t.Error(err)
	}
}
