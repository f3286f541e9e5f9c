package localstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"troupe/storage/pathlock"
	"troupe/storage/storepath"
)

// heldName is a file that is there while a process works on the store, and
// after one that was killed. Only then is the store's directory searched, which
// takes a tenth of a second where it is large.
const heldName = ".troupe-held"

func (l Layout) heldFile() string { return filepath.Join(l.StateDir, heldName) }

// hold does without the file where the disk is full: who wants to give space
// back has to get here.
func (l Layout) hold() error {
	err := os.WriteFile(l.heldFile(), nil, 0o600)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return nil
	}
	return err
}

// Leave says that this process leaves nothing behind that [Layout.CleanStaging]
// would have to search for.
func (l Layout) Leave() error {
	err := os.Remove(l.heldFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeStaleLocks removes the lock files of processes that were killed. One
// that somebody has locked stays.
func (l Layout) removeStaleLocks() error {
	dir, err := os.Open(l.RealStoreDir())
	if err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return err
	}
	for _, name := range names {
		file := filepath.Join(l.RealStoreDir(), name)
		if lock, err := isLock(file); err != nil || !lock {
			if err != nil {
				return err
			}
			continue
		}
		held, err := pathlock.TryFile(file)
		if errors.Is(err, pathlock.ErrBusy) {
			continue
		}
		if err == nil {
			err = held.Delete()
		}
		if err != nil {
			return fmt.Errorf("remove stale lock: %w", err)
		}
	}
	return nil
}

// IsLock is [isLock] where an error means no.
func IsLock(file string) bool {
	lock, err := isLock(file)
	return lock && err == nil
}

// isLock tells a lock file from a store object that is called like one, such as
// Cargo.lock: no object has that mode, and every lock has.
func isLock(file string) (bool, error) {
	of, ok := strings.CutSuffix(filepath.Base(file), ".lock")
	if !ok {
		return false, nil
	}
	if _, err := storepath.ParseBase(of); err != nil {
		return false, nil
	}
	st, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && st.Mode() == 0o600, err
}
