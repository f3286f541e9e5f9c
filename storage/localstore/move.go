package localstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Move renames a tree; nothing may be at the new place. A directory that is not
// writable is made so for the moment of the rename, which an ordinary user
// needs. To another file system it copies, with modes, times and, as root,
// owners.
func Move(from, to string) error {
	err := renameTree(from, to)
	if errors.Is(err, unix.EXDEV) {
		err = copyAway(from, to)
	}
	if err != nil {
		return fmt.Errorf("move '%s' to '%s': %w", from, to, err)
	}
	return nil
}

// Rename is [Move] within a file system; elsewhere it is an error.
func Rename(from, to string) error {
	if err := renameTree(from, to); err != nil {
		return fmt.Errorf("move '%s' to '%s': %w", from, to, err)
	}
	return nil
}

func renameTree(from, to string) error {
	err := rename(from, to)
	if errors.Is(err, unix.EACCES) {
		err = moveReadOnly(from, to)
	}
	return err
}

func rename(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return renameLooking(from, to)
	}
	return err
}

// renameLooking is for file systems that cannot promise to replace nothing
// (NFS, older ZFS). Two that rename to the same store path hold its lock.
func renameLooking(from, to string) error {
	_, err := os.Lstat(to)
	if err == nil {
		return unix.EEXIST
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return unix.Rename(from, to)
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

// copyAway leaves nothing at the new place when it fails.
func copyAway(from, to string) error {
	if err := copyTree(from, to); err != nil {
		return err
	}
	if err := copyMetadata(from, to); err != nil {
		_, rerr := Remove(to)
		return errors.Join(err, rerr)
	}
	_, err := Remove(from)
	return err
}

// Exchange makes two trees change places, so that neither name is ever without
// one. Directories that are not writable are made so for that moment, which an
// ordinary user needs.
func Exchange(a, b string) error {
	err := exchange(a, b)
	if errors.Is(err, unix.EACCES) {
		err = exchangeReadOnly(a, b)
	}
	if err != nil {
		return fmt.Errorf("exchange '%s' and '%s': %w", a, b, err)
	}
	return nil
}

// exchange takes three steps where the file system has no such call; then a
// crash can leave b without a tree.
func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	aside := a + ".aside"
	if err := unix.Rename(b, aside); err != nil {
		return err
	}
	if err := unix.Rename(a, b); err != nil {
		return errors.Join(err, unix.Rename(aside, b))
	}
	return unix.Rename(aside, a)
}

func exchangeReadOnly(a, b string) error {
	modes := map[string]os.FileMode{}
	for _, tree := range []string{a, b} {
		st, err := os.Lstat(tree)
		if err != nil {
			return err
		}
		if st.IsDir() {
			modes[tree] = st.Mode()
		}
	}
	var err error
	for tree := range modes {
		err = errors.Join(err, os.Chmod(tree, 0o700))
	}
	if err == nil {
		err = exchange(a, b)
	}
	if err == nil {
		modes[a], modes[b] = modes[b], modes[a]
	}
	for tree, mode := range modes {
		if mode != 0 { // there is a directory now
			err = errors.Join(err, os.Chmod(tree, mode))
		}
	}
	return err
}
