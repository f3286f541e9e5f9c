package localstore

import (
	"errors"
	"fmt"
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
	dir storepath.Dir

	mu   sync.Mutex // guards what follows
	file *os.File
	have map[storepath.Path]struct{}
}

// OpenTempRoots makes this process's file, and removes those of processes that
// have died.
func OpenTempRoots(l Layout) (*TempRoots, error) {
	dir := filepath.Join(l.StateDir, "temproots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make temporary roots: %w", readOnly(err))
	}
	if err := removeStale(dir); err != nil {
		return nil, fmt.Errorf("remove stale temporary roots: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(os.Getpid())), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		return nil, fmt.Errorf("make temporary roots: %w", err)
	}
	return &TempRoots{dir: l.Dir, file: f, have: map[storepath.Path]struct{}{}}, nil
}

// removeStale removes the files that nobody has locked.
func removeStale(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = os.Remove(name)
			if _, werr := f.WriteString("d"); err == nil { // Nix's mark of a file that is gone
				err = werr
			}
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Add keeps paths, valid or not.
func (t *TempRoots) Add(paths ...storepath.Path) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, p := range paths {
		if _, have := t.have[p]; !have {
			b.WriteString(t.dir.Join(p))
			b.WriteByte(0)
		}
	}
	if b.Len() == 0 {
		return nil
	}
	if _, err := t.file.WriteString(b.String()); err != nil {
		return fmt.Errorf("add temporary roots: %w", err)
	}
	for _, p := range paths {
		t.have[p] = struct{}{}
	}
	return nil
}

// Close lets go of every path.
func (t *TempRoots) Close() error {
	return errors.Join(os.Remove(t.file.Name()), t.file.Close())
}
