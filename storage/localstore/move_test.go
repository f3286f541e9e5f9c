package localstore_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
)

func TestMoveReadOnlyDirectory(t *testing.T) {
	top := tree(t, map[string]string{"file": "x"})
	if err := localstore.Canonicalise(top, localstore.Options{BuilderUID: -1}); err != nil {
		t.Fatal(err)
	}
	to := tempDir(t) + "/there"
	if err := localstore.Move(top, to); err != nil {
		t.Fatal(err)
	}
	if st := stat(t, to); st.Mode != 0o40555 {
		t.Fatalf("mode %o", st.Mode)
	}
}

// What is there stays, be it a file, a full or an empty directory or a link.
func TestMoveReplacesNothing(t *testing.T) {
	there := tree(t, map[string]string{"file": "old", "dir/x": "old", "empty": "/", "link": "->nowhere"})
	for _, name := range []string{"file", "dir", "empty", "link"} {
		before := stat(t, there+"/"+name)
		from := tree(t, map[string]string{"f": "new"})
		for _, from := range []string{from, from + "/f"} {
			if err := localstore.Move(from, there+"/"+name); !errors.Is(err, unix.EEXIST) {
				t.Errorf("%s: %v", name, err)
			}
			stat(t, from)
		}
		if after := stat(t, there+"/"+name); after.Ino != before.Ino {
			t.Errorf("%s was replaced", name)
		}
	}
}

// To another file system a tree is copied with its metadata.
func TestMoveToOtherFileSystem(t *testing.T) {
	if !withMounts(t) {
		return
	}
	other := tempDir(t)
	mount(t, "none", other, "tmpfs", 0, "size=1m")
	top := tree(t, map[string]string{"bin/tool": "#!", "doc": "text", "lib": "->bin", "private/x": "y"})
	for p, mode := range map[string]uint32{"/bin/tool": 0o755, "/doc": 0o600} {
		if err := unix.Chmod(top+p, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := localstore.Canonicalise(top+"/bin", localstore.Options{BuilderUID: -1}); err != nil {
		t.Fatal(err)
	}
	want := listing(t, top, true)
	if err := localstore.Move(top, other+"/there"); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, other+"/there", true); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := os.Lstat(top); !errors.Is(err, os.ErrNotExist) {
		t.Error("the original is still there:", err)
	}
}

// A disk that fills up keeps nothing of a copy, and the original stays.
func TestMoveToFullDisk(t *testing.T) {
	if !withMounts(t) {
		return
	}
	other := tempDir(t)
	mount(t, "none", other, "tmpfs", 0, "size=1m")
	top := tree(t, map[string]string{"a/small": "x", "b/large": strings.Repeat("x", 2<<20), "c/small": "x"})
	want := listing(t, top, true)
	if err := localstore.Move(top, other+"/there"); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(other); err != nil || len(left) > 0 {
		t.Error("a part of the copy is left:", left, err)
	}
	if got := listing(t, top, true); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
