package ports

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/storage/localstore"
)

func filled(t *testing.T, tree sandbox.Tree) (string, *shell) {
	t.Helper()
	top, err := os.MkdirTemp("", "shell-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := localstore.Remove(top); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(top, "shell")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := newShell(dir)
	if err == nil {
		err = s.fill(dir, tree)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, s
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

var someTree = sandbox.Tree{Dirs: []sandbox.Dir{{Path: "/d", Mode: 0o755}, {Path: "/d/below", Mode: 0o755}},
	Files: []sandbox.File{{Path: "/a"}, {Path: "/b"}}, Links: []sandbox.Link{{Path: "/l", Target: "a"}}}

// What a builder leaves is gone for the next, and what it was shown stays.
func TestAShellIsRestored(t *testing.T) {
	dir, s := filled(t, someTree)
	err := errors.Join(os.Mkdir(dir+"/left", 0o755), os.WriteFile(dir+"/left/file", nil, 0o600), os.Chmod(dir+"/left", 0),
		os.Symlink("/", dir+"/link"), os.Chmod(dir, 0o777))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.restore(dir); err != nil {
		t.Fatal(err)
	}
	if got := namesIn(t, dir); !slices.Equal(got, []string{"a", "b", "d"}) {
		t.Errorf("there are %q", got)
	}
	before := s.points["/a"].inode
	next := sandbox.Tree{Dirs: []sandbox.Dir{{Path: "/b", Mode: 0o755}}, Files: []sandbox.File{{Path: "/a"}, {Path: "/c"}}, Links: []sandbox.Link{{Path: "/m", Target: "c"}}}
	if err := s.fill(dir, next); err != nil {
		t.Fatal(err)
	}
	if got := namesIn(t, dir); !slices.Equal(got, []string{"a", "b", "c", "m"}) {
		t.Errorf("there are %q", got)
	}
	if s.points["/a"].inode != before || s.points["/c"].inode != before || s.points["/b"].mode&unix.S_IFDIR == 0 {
		t.Errorf("the mount points are %v", s.points)
	}
	if err := s.restore(dir); err != nil {
		t.Error(err)
	}
}

// A builder can take no mount point away, nor change one: it is busy, and hidden.
// Whatever way it finds, its shell is nobody's after it.
func TestAShellThatWasChangedIsNotRestored(t *testing.T) {
	for what, change := range map[string]func(dir string) error{
		"a file written to":         func(d string) error { return os.WriteFile(d+"/a", []byte("x"), 0o644) },
		"a file with another mode":  func(d string) error { return os.Chmod(d+"/a", 0o755) },
		"a file taken away":         func(d string) error { return os.Remove(d + "/b") },
		"a file replaced":           func(d string) error { return errors.Join(os.Remove(d+"/b"), os.WriteFile(d+"/b", nil, 0o644)) },
		"a file that is a link":     func(d string) error { return errors.Join(os.Remove(d+"/b"), os.Symlink("a", d+"/b")) },
		"a directory filled":        func(d string) error { return os.WriteFile(d+"/d/below/x", nil, 0o644) },
		"a directory emptied again": func(d string) error { return errors.Join(os.Mkdir(d+"/d/x", 0o755), os.Remove(d+"/d/x")) },
		"attributes": func(d string) error {
			err := unix.Setxattr(d, "user.x", []byte("y"), 0)
			if errors.Is(err, unix.ENOTSUP) {
				return os.Remove(d + "/a")
			}
			return err
		},
		"flags": func(d string) error {
			return onDirectory(d, func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, 0x40) }) // chattr +d
		},
		"a generation": func(d string) error {
			return onDirectory(d, func(fd int) error {
				err := unix.IoctlSetPointerInt(fd, fsSetVersion, 4242)
				if errors.Is(err, unix.ENOTTY) { // with checksums of its metadata ext4 has none
					return os.Remove(d + "/a")
				}
				return err
			})
		},
		"a large directory": func(d string) (err error) {
			for i := range 300 {
				err = errors.Join(err, os.WriteFile(filepath.Join(d, string(rune('A'+i))+"-of-a-name-that-takes-some-room"), nil, 0o644))
			}
			var st unix.Stat_t
			err = errors.Join(err, unix.Stat(d, &st))
			if st.Size <= 4096 { // a file system whose directories do not grow
				err = errors.Join(err, os.Remove(d+"/a"))
			}
			return err
		},
		"nothing there": func(d string) error { _, err := localstore.Remove(d); return err },
	} {
		t.Run(what, func(t *testing.T) {
			dir, s := filled(t, someTree)
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
			if s.restore(dir) == nil {
				t.Error("it is taken for new")
			}
		})
	}
}

// fsSetVersion is FS_IOC_SETVERSION of linux/fs.h.
const fsSetVersion = 0x40087602

func onDirectory(dir string, do func(fd int) error) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(do(fd), unix.Close(fd))
}

// An attribute that was there before, as a default ACL of the directory above is,
// is looked at with its value.
func TestAnAttributeThatWasThere(t *testing.T) {
	dir, s := filled(t, someTree)
	if err := unix.Setxattr(dir, "user.x", []byte("1"), 0); errors.Is(err, unix.ENOTSUP) {
		t.Skip("this file system has no attributes of users")
	} else if err != nil {
		t.Fatal(err)
	}
	if err := s.note(dir, someTree); err != nil {
		t.Fatal(err)
	}
	if err := s.restore(dir); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(dir, "user.x", []byte("2"), 0); err != nil {
		t.Fatal(err)
	}
	if s.restore(dir) == nil {
		t.Error("one with another value is taken for new")
	}
}

// How large a directory is tells how much was in it once.
func TestAShellThatHasGrownIsMadeAnew(t *testing.T) {
	var large sandbox.Tree
	for i := range 300 {
		large.Files = append(large.Files, sandbox.File{Path: "/" + string(rune('A'+i)) + "-of-a-name-that-takes-some-room"})
	}
	dir, s := filled(t, large)
	if err := s.restore(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.fill(dir, someTree); err != nil {
		t.Fatal(err)
	}
	fresh, _ := filled(t, someTree)
	var got, want unix.Stat_t
	if err := errors.Join(unix.Stat(dir, &got), unix.Stat(fresh, &want)); err != nil {
		t.Fatal(err)
	}
	if got.Size != want.Size {
		t.Errorf("it has %d bytes, a new one %d", got.Size, want.Size)
	}
}
