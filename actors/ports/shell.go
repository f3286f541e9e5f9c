package ports

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/sandbox/linux"
	"troupe/storage/localstore"
)

// shell is a directory that a builder can write to, and the mount points that were
// made in it. What is mounted on these hides them from the builder.
type shell struct {
	stamp  stamp            // of the directory
	marks  marks            // of the directory
	start  int64            // its size when it was empty
	points map[string]stamp // by path below it
}

// stamp tells a file that nothing was done to from others.
type stamp struct {
	inode          uint64
	mode, uid, gid uint32
	size           int64
	changed        unix.Timespec // zero of a file that has many names
}

func stampOf(st *unix.Stat_t) stamp {
	s := stamp{inode: st.Ino, mode: st.Mode, uid: st.Uid, gid: st.Gid, size: st.Size}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		s.changed = st.Ctim
	}
	return s
}

// newShell is an empty directory.
func newShell(dir string) (*shell, error) {
	s := &shell{}
	err := s.note(dir, sandbox.Tree{})
	s.start = s.stamp.size
	return s, err
}

// in calls f with a descriptor of a directory.
func in(dir string, f func(fd int) error) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	return f(fd)
}

// fill makes a tree in a directory of a shell: what is there of it stays, and what
// is not of it is removed. One that has grown is made anew first, unless it can
// stay as it is: how large a directory is can be seen.
func (s *shell) fill(dir string, t sandbox.Tree) error {
	missing, extra := s.compare(t)
	if len(extra) > 0 && s.stamp.size != s.start {
		if err := s.renew(dir); err != nil {
			return err
		}
		missing, extra = s.compare(t)
	}
	for _, name := range extra {
		if _, err := localstore.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
		delete(s.points, name)
	}
	if len(missing.Dirs)+len(missing.Files)+len(missing.Links)+len(extra) == 0 {
		return nil
	}
	if err := linux.MakeTree(dir, missing, s.emptyFile(dir)); err != nil {
		return err
	}
	return s.note(dir, missing)
}

// emptyFile is one of the mount points, or "".
func (s *shell) emptyFile(dir string) string {
	for name, st := range s.points {
		if st.mode&unix.S_IFMT == unix.S_IFREG {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// compare is what a tree has that is not there, and what is there and not of it,
// what is in a directory before that. Links are no mount points: they are made
// each time.
func (s *shell) compare(t sandbox.Tree) (missing sandbox.Tree, extra []string) {
	wanted := map[string]uint32{}
	for _, d := range t.Dirs {
		wanted[d.Path] = unix.S_IFDIR
	}
	for _, f := range t.Files {
		wanted[f.Path] = unix.S_IFREG
	}
	for name, st := range s.points {
		if wanted[name] != st.mode&unix.S_IFMT {
			extra = append(extra, name)
		}
	}
	slices.SortFunc(extra, func(a, b string) int { return strings.Compare(b, a) })
	there := func(name string) bool {
		st, ok := s.points[name]
		return ok && wanted[name] == st.mode&unix.S_IFMT
	}
	missing.Links = t.Links
	missing.Dirs = slices.DeleteFunc(slices.Clone(t.Dirs), func(d sandbox.Dir) bool { return there(d.Path) })
	missing.Files = slices.DeleteFunc(slices.Clone(t.Files), func(f sandbox.File) bool { return there(f.Path) })
	return missing, extra
}

func (s *shell) renew(dir string) error {
	if _, err := localstore.Remove(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	anew, err := newShell(dir)
	if err == nil {
		*s = *anew
	}
	return err
}

// note takes stamps of the directory, and of mount points that were made just now.
func (s *shell) note(dir string, made sandbox.Tree) error {
	if s.points == nil {
		s.points = map[string]stamp{}
	}
	return in(dir, func(fd int) error {
		for _, d := range made.Dirs {
			if err := s.notePoint(fd, d.Path); err != nil {
				return err
			}
		}
		for _, f := range made.Files {
			if err := s.notePoint(fd, f.Path); err != nil {
				return err
			}
		}
		var err error
		s.stamp, s.marks, err = look(dir, fd)
		return err
	})
}

func (s *shell) notePoint(fd int, name string) (err error) {
	s.points[name], err = point(fd, name)
	return err
}

// point is the stamp of a mount point in a directory; names begin with "/".
func point(fd int, name string) (stamp, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name[1:], &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return stamp{}, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	return stampOf(&st), nil
}

// restore removes what is there beside the mount points and gives the directory
// back to the service. The error is that it is not as it was made.
func (s *shell) restore(dir string) error {
	if err := s.removeOthers(dir); err != nil {
		return err
	}
	return in(dir, func(fd int) error {
		for name, made := range s.points {
			if now, err := point(fd, name); err != nil || now != made {
				return fmt.Errorf("'%s' in '%s' is not as it was made", name, dir)
			}
		}
		if err := unix.Fchown(fd, os.Geteuid(), os.Getegid()); err != nil {
			return os.NewSyscallError("fchown", err)
		}
		now, marks, err := look(dir, fd)
		if err != nil {
			return err
		}
		if now.inode != s.stamp.inode || now.size != s.stamp.size || marks != s.marks {
			return fmt.Errorf("'%s' is not as it was made", dir)
		}
		return nil
	})
}

func (s *shell) removeOthers(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := s.points["/"+e.Name()]; ok {
			continue
		}
		if _, err := localstore.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
