package localstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"troupe/storage/storepath"
)

// TempRoots keeps paths from any collector while this process lives, in the
// file where Nix looks for them: <state>/temproots/<pid>, locked, with each path
// and a zero byte.
type TempRoots struct {
	dir  storepath.Dir
	name string // of the file

	mu   sync.Mutex // guards what follows
	file *os.File
	size int64 // bytes of the file that are whole paths
	have map[storepath.Path]struct{}
}

// OpenTempRoots makes this process's file, and removes those of processes that
// have died. A process has one at a time.
func OpenTempRoots(l Layout) (*TempRoots, error) {
	dir := filepath.Join(l.StateDir, "temproots")
	err := makeDir(dir)
	if err == nil {
		err = errors.Join(removeStale(dir, ""), removeStale(l.StateDir, unnamedRoots))
	}
	if err != nil {
		return nil, fmt.Errorf("make temporary roots: %w", readOnly(err))
	}
	name := filepath.Join(dir, strconv.Itoa(os.Getpid()))
	f, err := makeLocked(l.StateDir, name)
	if err != nil {
		return nil, fmt.Errorf("make temporary roots '%s': %w", name, readOnly(err))
	}
	return &TempRoots{dir: l.Dir, name: name, file: f, have: map[storepath.Path]struct{}{}}, nil
}

// unnamedRoots is how the name begins of a file that is not locked yet.
const unnamedRoots = ".temproots-"

// makeLocked makes a file that has its name only when it is locked, so that
// nobody takes it for stale.
func makeLocked(stateDir, name string) (*os.File, error) {
	f, err := os.CreateTemp(stateDir, unnamedRoots)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = rename(f.Name(), name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// lockNamed locks a file and says whether it still has its name. It does not
// wait: an error is EWOULDBLOCK where somebody has the lock.
func lockNamed(f *os.File) (bool, error) {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return false, err
	}
	named, err := os.Lstat(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	open, err := f.Stat()
	return err == nil && os.SameFile(named, open), err
}

func removeStale(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		if err := removeIfStale(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("remove stale file: %w", err)
		}
	}
	return nil
}

// removeIfStale removes a file that nobody has locked. One that is not ours to
// open is left to whoever may.
func removeIfStale(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	stale, err := lockNamed(f)
	if errors.Is(err, unix.EWOULDBLOCK) || err == nil && !stale {
		return nil
	}
	if err == nil {
		err = os.Remove(name)
	}
	if err == nil {
		_, err = f.WriteString("d") // how Nix tells whoever waits for the lock
	}
	return err
}

// Add keeps paths, valid or not. When it fails it keeps none of them that it
// did not keep before.
func (t *TempRoots) Add(paths ...storepath.Path) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	added := make([]storepath.Path, 0, len(paths))
	for _, p := range paths {
		if _, have := t.have[p]; !have {
			t.have[p] = struct{}{}
			added = append(added, p)
			b.WriteString(t.dir.Join(p))
			b.WriteByte(0)
		}
	}
	if _, err := t.file.WriteAt([]byte(b.String()), t.size); err != nil {
		for _, p := range added {
			delete(t.have, p)
		}
		return fmt.Errorf("add temporary roots: %w", errors.Join(err, t.file.Truncate(t.size)))
	}
	t.size += int64(b.Len())
	return nil
}

// Close lets go of every path.
func (t *TempRoots) Close() error {
	return errors.Join(os.Remove(t.name), t.file.Close())
}
