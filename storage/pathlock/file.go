package pathlock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrBusy is wrapped by the error of everything that tries and does not wait.
var ErrBusy = errors.New("locked by another")

// A File is one lock file that this process holds.
type File struct {
	path   string
	file   *os.File
	spares *Spares // it goes there when it is deleted; nil is to nowhere
}

// held has the lock files of this process; a channel is closed at release. A
// second open of a file that we hold would wait for ourselves in the kernel.
var held = struct {
	sync.Mutex
	files map[string]chan struct{}
}{files: map[string]chan struct{}{}}

// TryFile locks the file at path, which is made if it is not there (mode
// 0600). The error wraps [ErrBusy] when this or another process has it.
func TryFile(path string) (*File, error) {
	if claim(path) != nil {
		return nil, busyHere(path)
	}
	return finish(path, func() (*os.File, error) { return lockCurrent(context.Background(), path, unix.LOCK_EX|unix.LOCK_NB) })
}

func busyHere(path string) error {
	return fmt.Errorf("lock %q: %w in this process", path, ErrBusy)
}

// WaitFile is [TryFile] that waits until the lock is free or ctx ends.
//
// The wait is in the kernel, where Go cannot interrupt it: when ctx ends first,
// a goroutine stays behind until the other process lets go, and then gives the
// lock back at once.
func WaitFile(ctx context.Context, path string) (*File, error) {
	return waitFor(ctx, path, func() (*os.File, error) { return lockCurrent(ctx, path, unix.LOCK_EX|unix.LOCK_NB) })
}

// waitFor tries to have the lock before it waits.
func waitFor(ctx context.Context, path string, try func() (*os.File, error)) (*File, error) {
	for busy := claim(path); busy != nil; busy = claim(path) {
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("lock %q: %w", path, context.Cause(ctx))
		}
	}
	return finish(path, func() (*os.File, error) { return wait(ctx, path, try) })
}

// claim takes the path inside this process, or returns what is closed when the
// present owner lets go.
func claim(path string) (busy <-chan struct{}) {
	held.Lock()
	defer held.Unlock()
	if c := held.files[path]; c != nil {
		return c
	}
	held.files[path] = make(chan struct{})
	return nil
}

func unclaim(path string) {
	held.Lock()
	defer held.Unlock()
	close(held.files[path])
	delete(held.files, path)
}

func finish(path string, lock func() (*os.File, error)) (*File, error) {
	f, err := lock()
	if err != nil {
		unclaim(path)
		return nil, fmt.Errorf("lock %q: %w", path, err)
	}
	return &File{path: path, file: f}, nil
}

func wait(ctx context.Context, path string, try func() (*os.File, error)) (*os.File, error) {
	f, err := try()
	if !errors.Is(err, ErrBusy) {
		return f, err
	}
	type answer struct {
		file *os.File
		err  error
	}
	got := make(chan answer)
	go func() {
		f, err := lockCurrent(ctx, path, unix.LOCK_EX)
		select {
		case got <- answer{f, err}:
		case <-ctx.Done():
			if err == nil {
				f.Close() // nobody is left to tell of an error
			}
		}
	}()
	select {
	case a := <-got:
		return a.file, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// lockCurrent opens and locks until the file that it locked is the one at the
// path: the owner before may have deleted it while we waited. Once ctx has ended no
// file is made.
func lockCurrent(ctx context.Context, path string, how int) (*os.File, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, reason(err)
		}
		stale, err := lockOpen(f, how)
		if err == nil && !stale {
			return f, nil
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return nil, reason(err)
		}
	}
}

// lockOpen locks f and says whether it has been deleted. Nix marks a deleted
// lock file by making it non-empty; one whose owner died between unlinking and
// marking has no link left, and one that is marked but still linked would hold
// up everybody forever, so it is unlinked here.
func lockOpen(f *os.File, how int) (stale bool, err error) {
	if err := flock(int(f.Fd()), how); err != nil {
		return false, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false, err
	}
	if st.Size != 0 && st.Nlink != 0 {
		return true, removeIfSame(f)
	}
	return st.Size != 0 || st.Nlink == 0, nil
}

func flock(fd, how int) error {
	err := unix.Flock(fd, how)
	for errors.Is(err, unix.EINTR) {
		err = unix.Flock(fd, how)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrBusy
	}
	return err
}

func removeIfSame(f *os.File) error {
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Lstat(f.Name()); err != nil || !os.SameFile(ours, there) {
		return nil // already replaced by a later owner
	}
	return os.Remove(f.Name())
}

// reason drops the operation and path of a PathError: the caller names both.
func reason(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Unlock gives the lock back and leaves the file.
func (l *File) Unlock() error {
	defer unclaim(l.path)
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("unlock %q: %w", l.path, reason(err))
	}
	return nil
}

// Delete gives the lock back and deletes the file.
func (l *File) Delete() (err error) {
	defer unclaim(l.path)
	if l.spares != nil {
		err = l.spares.giveBack(l.file, l.path)
	} else {
		err = mark(l.file, l.path)
	}
	if err != nil {
		return fmt.Errorf("delete lock %q: %w", l.path, err)
	}
	return nil
}

// mark deletes a lock file and lets those know who wait for it. It is unlinked
// before it is marked: a mark on a linked file makes Nix processes open it over and
// over.
func mark(f *os.File, path string) error {
	err := unix.Unlink(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	_, werr := f.WriteString("d")
	return errors.Join(err, werr, f.Close())
}

// Descriptor is the open lock file, for its owner to write into. It stays the
// lock's: closing it gives the lock away.
func (l *File) Descriptor() *os.File { return l.file }
