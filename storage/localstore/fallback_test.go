package localstore

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// What is used where the kernel or the file system lacks a call.
func TestFallbacks(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"old", "new", "dir/x"} {
		if err := errors.Join(os.MkdirAll(dir+"/dir", 0o755), os.WriteFile(dir+"/"+name, []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("dir", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := renameLooking(dir+"/new", dir+"/old"); !errors.Is(err, unix.EEXIST) {
		t.Error("it replaced:", err)
	}
	if err := renameLooking(dir+"/new", dir+"/moved"); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(dir + "/moved"); string(text) != "new" {
		t.Error(string(text), err)
	}

	root, err := unix.Open("/", unix.O_RDONLY|directoryFlags, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	if _, err := openSameDevice(root, "proc", unix.O_RDONLY); !errors.Is(err, unix.EXDEV) {
		t.Error("it crossed into another file system:", err)
	}
	here, err := unix.Open(dir, unix.O_RDONLY|directoryFlags, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(here)
	if _, err := openSameDevice(here, "link", unix.O_RDONLY); !errors.Is(err, unix.ENOTDIR) {
		t.Error("it followed a link:", err)
	}
	fd, err := openSameDevice(here, "dir", unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	names, err := readNames(fd, "dir")
	if err != nil || len(names) != 1 || names[0] != "x" {
		t.Error(names, err)
	}
	if err := unix.Close(fd); err != nil {
		t.Error(err)
	}
}
