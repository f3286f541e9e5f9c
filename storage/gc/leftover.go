package gc

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
	"troupe/storage/pathlock"
	"troupe/storage/storepath"
)

// eachLeftover calls f with the names in the store's directory that are neither
// valid nor the store's own nor somebody's that has leased them: of killed
// builds, of interrupted additions, lock files. Whether one is in use shows only
// when it is locked.
func (c *Collector) eachLeftover(l *liveness, known *names, f func(name string) error) error {
	dir, err := os.Open(c.Layout.RealStoreDir())
	if err != nil {
		return err
	}
	left, err := known.unknown(c.DB, func() ([]string, error) {
		some, err := dir.Readdirnames(1000)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return some, err
	})
	if err := errors.Join(err, dir.Close()); err != nil {
		return err
	}
	for _, name := range left {
		if name == linksName || name == filepath.Base(c.Layout.StagingDir()) || name == "lost+found" {
			continue
		}
		if p, err := storepath.ParseBase(name); err == nil && l.spares(p) {
			continue
		}
		if err := f(name); err != nil {
			return err
		}
	}
	return nil
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	return names, errors.Join(err, d.Close())
}

// leftover deletes what is not valid, unless it is in use; it says whether it
// did.
func (s *sweep) leftover(name string) (bool, error) {
	p, err := storepath.ParseBase(name)
	if err != nil {
		return s.junk(name)
	}
	lock, err := pathlock.TryFile(s.c.Layout.RealStoreDir() + "/" + s.lockOf(name))
	if errors.Is(err, pathlock.ErrBusy) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ELOOP) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	gone := false
	err = s.run.Exclude(func(fresh []storepath.Path) error {
		s.l.markPaths(fresh)
		valid, err := s.c.DB.Valid(p)
		if gone = !valid && err == nil && !s.l.spares(p); gone && s.lockOf(name) != name {
			err = s.discard(name)
		}
		return err
	})
	if gone && err == nil {
		s.deleted = append(s.deleted, string(s.c.Layout.Dir)+"/"+name)
	}
	err = errors.Join(err, lock.Delete())
	s.finish()
	return gone && err == nil, err
}

// lockOf names the lock under which somebody would be making what a name is: a
// path by its own; what builds keep beside a path, by the path's; a lock file is
// its own lock.
func (s *sweep) lockOf(name string) string {
	for _, suffix := range []string{".chroot", ".lock"} {
		of, is := strings.CutSuffix(name, suffix)
		if _, err := storepath.ParseBase(of); !is || err != nil {
			continue
		}
		if suffix == ".chroot" || localstore.IsLock(filepath.Join(s.c.Layout.RealStoreDir(), name)) {
			return of + ".lock"
		}
	}
	return name + ".lock"
}

// junk deletes what cannot be a store path: the temporary directories in which
// Nix adds to a store, which it keeps locked, and what does not belong there.
// Nobody is told of it, as with Nix.
func (s *sweep) junk(name string) (bool, error) {
	fd, err := unix.Openat(s.store, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
			return false, nil
		}
	}
	if err := s.discard(name); err != nil {
		s.failed = errors.Join(s.failed, err)
		return false, nil
	}
	s.finish()
	return true, nil
}
