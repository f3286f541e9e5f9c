package descriptor_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/descriptor"
)

func open(t *testing.T, dirfd int, name string) int {
	t.Helper()
	fd, err := descriptor.Open(dirfd, name, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// TestList holds a list that takes several calls against what the library says.
func TestList(t *testing.T) {
	dir := t.TempDir()
	for i := range 1000 {
		if err := os.WriteFile(fmt.Sprintf("%s/%03d-%s", dir, i, strings.Repeat("x", i%252)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(dir+"/dir", 0o755), os.Symlink("x", dir+"/link"), unix.Mkfifo(dir+"/pipe", 0o644)); err != nil {
		t.Fatal(err)
	}
	got, err := descriptor.List(open(t, unix.AT_FDCWD, dir), dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, descriptor.Entry.Compare)
	want, err := os.ReadDir(dir)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d are listed, of %d (%v)", len(got), len(want), err)
	}
	for i, e := range got {
		var st unix.Stat_t
		if err := unix.Lstat(dir+"/"+want[i].Name(), &st); err != nil {
			t.Fatal(err)
		}
		if e.Name != want[i].Name() || e.Kind != st.Mode&unix.S_IFMT && e.Kind != 0 {
			t.Errorf("%v is listed for %s, of kind %o", e, want[i].Name(), st.Mode&unix.S_IFMT)
		}
	}
	if _, err := descriptor.List(open(t, unix.AT_FDCWD, dir+"/000-"), "it"); err == nil || err.Error() != "list it: not a directory" {
		t.Error(err)
	}
}

// TestOpener: another's files are read all the same, and after the first one nobody
// asks for what only the owner may ask.
func TestOpener(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(dir+"/a", []byte("text"), 0o644), os.Symlink("a", dir+"/link")); err != nil {
		t.Fatal(err)
	}
	dirfd := open(t, unix.AT_FDCWD, dir)
	var o descriptor.Opener
	if _, err := o.Open(dirfd, "link", 0); err != unix.ELOOP {
		t.Errorf("a link: %v", err)
	}
	if flags := flagsOf(t, &o, dirfd); flags&unix.O_NOATIME == 0 {
		t.Errorf("one's own: flags %o", flags)
	}
	if os.Geteuid() != 0 {
		t.Skip("another's files need root")
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and the thread ends with it
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			t.Error(err)
			return
		}
		for range 2 {
			if flags := flagsOf(t, &o, dirfd); flags&unix.O_NOATIME != 0 {
				t.Errorf("another's: flags %o", flags)
			}
		}
	}()
	<-ended
}

// flagsOf opens and reads the file a.
func flagsOf(t *testing.T, o *descriptor.Opener, dirfd int) int {
	fd, err := o.Open(dirfd, "a", 0)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer unix.Close(fd)
	b := make([]byte, 4)
	c := &descriptor.Contents{FD: fd, Shown: "it"}
	if n, err := c.Read(b); n != 4 || err != nil || string(b) != "text" {
		t.Errorf("%q is read, %v", b[:n], err)
	}
	if _, err := c.Read(b); err == nil || errors.Is(err, io.EOF) || err.Error() != "file 'it' became shorter while it was read" {
		t.Errorf("at the end: %v", err)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		t.Error(err)
	}
	return flags
}
