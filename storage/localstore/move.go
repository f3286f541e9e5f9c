package localstore

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"troupe/storage/nar"
)

// Move renames a tree; nothing may be at the new place. A directory that is not
// writable is made so for the moment of the rename, which an ordinary user
// needs. Between file systems it copies, and gives up times and owners.
func Move(from, to string) error {
	err := rename(from, to)
	if errors.Is(err, unix.EACCES) {
		err = moveReadOnly(from, to)
	}
	if errors.Is(err, unix.EXDEV) {
		err = copyTree(from, to)
	}
	if err != nil {
		return fmt.Errorf("move '%s' to '%s': %w", from, to, err)
	}
	return nil
}

func rename(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}

func moveReadOnly(from, to string) error {
	st, err := os.Lstat(from)
	if err != nil || !st.IsDir() {
		return errors.Join(unix.EACCES, err)
	}
	if err := os.Chmod(from, 0o700); err != nil {
		return err
	}
	if err := rename(from, to); err != nil {
		return errors.Join(err, os.Chmod(from, st.Mode()))
	}
	return os.Chmod(to, st.Mode())
}

func copyTree(from, to string) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(nar.Dump(w, from)) }()
	if err := nar.Restore(r, to); err != nil {
		r.CloseWithError(err)
		return err
	}
	_, err := Remove(from)
	return err
}
