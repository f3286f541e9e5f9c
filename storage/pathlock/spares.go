package pathlock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Spares are lock files that have no place yet: empty, and locked by us. To make an
// inode and to delete it is most of what a lock costs; a spare is renamed to its
// place and, when the lock is given back, renamed away and kept.
//
// Whoever waits for the lock has the file open and must find it marked, as with any
// lock file that is deleted. So a file that another process has open is no spare
// again: the kernel says that by refusing us a lease to write. One whose open began
// before the file was renamed and ended after we had asked is found when we ask
// again, [lookAgain] later.
type Spares struct {
	dir string // of the same file system as the places, and ours alone

	mu     sync.Mutex // guards what follows
	free   []*os.File
	closed bool
	looks  bool // again, soon
}

// lookAgain is how long at most one that opened a file just before it became a
// spare waits to hear of it.
const lookAgain = time.Second

// spareFiles bounds how many are kept.
const spareFiles = 16

// NewSpares keeps files in a directory, which need not be there yet.
func NewSpares(dir string) *Spares { return &Spares{dir: dir} }

// TryLock is [TryLock] with spares.
func (s *Spares) TryLock(paths []string) (*Held, error) { return lockAll(paths, busyAs(s.tryFile)) }

func (s *Spares) tryFile(path string) (*File, error) {
	if claim(path) != nil {
		return nil, busyHere(path)
	}
	return s.of(finish(path, func() (*os.File, error) { return s.place(context.Background(), path) }))
}

// Lock is [Lock] with spares; nil has none.
func (s *Spares) Lock(ctx context.Context, paths []string) (*Held, error) {
	if s == nil {
		return Lock(ctx, paths)
	}
	return lockAll(paths, func(p string) (*File, error) {
		p += ".lock"
		return s.of(waitFor(ctx, p, func() (*os.File, error) { return s.place(ctx, p) }))
	})
}

// of makes a lock's file a spare once it is given back.
func (s *Spares) of(f *File, err error) (*File, error) {
	if err == nil {
		f.spares = s
	}
	return f, err
}

// place puts a spare at a path, or locks what is there or can be made there. Once
// ctx has ended it puts nothing there.
func (s *Spares) place(ctx context.Context, path string) (*os.File, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	spare, err := s.take()
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, spare.Name(), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
		if err == nil {
			return spare, nil
		}
		err = s.put(spare)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, reason(err)
	}
	return lockCurrent(ctx, path, unix.LOCK_EX|unix.LOCK_NB)
}

func (s *Spares) take() (*os.File, error) {
	s.mu.Lock()
	if n := len(s.free); n > 0 {
		f := s.free[n-1]
		s.free = s.free[:n-1]
		s.mu.Unlock()
		return f, nil
	}
	s.mu.Unlock()
	f, err := os.CreateTemp(s.dir, "lock-")
	if err != nil {
		return nil, err
	}
	if err := flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// put keeps a file for later, or deletes it.
func (s *Spares) put(f *os.File) error {
	s.mu.Lock()
	keep := !s.closed && len(s.free) < spareFiles
	if keep {
		s.free = append(s.free, f)
		if !s.looks {
			s.looks = true
			time.AfterFunc(lookAgain, func() { _ = s.look() })
		}
	}
	s.mu.Unlock()
	if keep {
		return nil
	}
	return mark(f, f.Name())
}

// look deletes the spares that another has open after all.
func (s *Spares) look() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks = false
	var errs []error
	s.free = slices.DeleteFunc(s.free, func(f *os.File) bool {
		if alone(int(f.Fd())) {
			return false
		}
		errs = append(errs, mark(f, f.Name()))
		return true
	})
	return errors.Join(errs...)
}

// giveBack takes a lock's file away from its place. Only one that was a spare has
// a name to go back to.
func (s *Spares) giveBack(f *os.File, path string) error {
	if f.Name() == path {
		return mark(f, path)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, f.Name(), unix.RENAME_NOREPLACE); err != nil {
		return mark(f, path)
	}
	if !alone(int(f.Fd())) {
		return mark(f, f.Name())
	}
	return s.put(f)
}

// alone reports whether nobody else has a file open to write, as whoever waits for
// its lock has.
func alone(fd int) bool {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return false
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
	return err == nil
}

// Close deletes the spares, and each lock's file that is given back from now on.
func (s *Spares) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return s.Drop()
}

// Drop deletes the spares, so that their directory can be empty.
func (s *Spares) Drop() error {
	s.mu.Lock()
	free := s.free
	s.free = nil
	s.mu.Unlock()
	var errs []error
	for _, f := range free {
		errs = append(errs, mark(f, f.Name()))
	}
	return errors.Join(errs...)
}
