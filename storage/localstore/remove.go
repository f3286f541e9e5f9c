package localstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Remove removes a tree and returns the bytes that it gave back. It goes by
// directory descriptors and follows no link, so that whoever swaps a directory
// for a link meanwhile gains nothing; it makes directories that it owns
// writable, and crosses into no other file system. What is not there is no
// error.
func Remove(real string) (freed uint64, err error) {
	parent, err := unix.Open(filepath.Dir(real), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: filepath.Dir(real), Err: err}
	}
	defer unix.Close(parent)
	var st unix.Stat_t
	if err := unix.Fstat(parent, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: filepath.Dir(real), Err: err}
	}
	r := &remover{device: st.Dev, shown: real}
	err = r.tree(parent, filepath.Base(real))
	return r.freed, err
}

type remover struct {
	device uint64
	shown  string
	freed  uint64
}

func (r *remover) fail(op, name string, err error) error {
	return &os.PathError{Op: op, Path: r.shown + " (" + name + ")", Err: err}
}

// tree removes what name is.
func (r *remover) tree(dirfd int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return r.fail("stat", name, err)
	}
	if st.Dev != r.device {
		return fmt.Errorf("remove '%s': '%s' is on another file system", r.shown, name)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return r.file(dirfd, name, &st)
	}
	return r.descend(dirfd, dirfd, name, 0)
}

func (r *remover) file(dirfd int, name string, st *unix.Stat_t) error {
	if err := unix.Unlinkat(dirfd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return r.fail("unlink", name, err)
	}
	if st.Nlink <= 1 {
		r.freed += uint64(st.Blocks) * 512
	}
	return nil
}

// maxOpen bounds how many directories are open at a time.
const maxOpen = 100

// descend empties and removes a directory. Below maxOpen levels it moves
// subdirectories to the place where all began and removes them from there, so
// that descriptors and stack do not grow with the depth.
func (r *remover) descend(top, dirfd int, name string, level int) error {
	fd, err := openDir(dirfd, name)
	if err != nil {
		return r.fail("open", name, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Dev != r.device {
		unix.Close(fd)
		return fmt.Errorf("remove '%s': '%s' is on another file system", r.shown, name)
	}
	dir := os.NewFile(uintptr(fd), name)
	names, err := dir.Readdirnames(-1)
	for _, n := range names {
		if err != nil {
			break
		}
		err = r.entry(top, fd, n, level)
	}
	if cerr := dir.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return r.fail("rmdir", name, err)
	}
	return nil
}

func (r *remover) entry(top, fd int, name string, level int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return r.fail("stat", name, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return r.file(fd, name, &st)
	case st.Dev != r.device:
		return fmt.Errorf("remove '%s': '%s' is on another file system", r.shown, name)
	case level < maxOpen:
		return r.descend(top, fd, name, level+1)
	}
	up := fmt.Sprintf(".troupe-removed-%d-%d", os.Getpid(), st.Ino)
	if err := makeWritable(fd, name); err != nil {
		return r.fail("chmod", name, err)
	}
	if err := unix.Renameat(fd, name, top, up); err != nil {
		return r.fail("rename", name, err)
	}
	return r.descend(top, top, up, 0)
}

// openDir opens a directory that it first makes readable, writable and
// searchable for its owner.
func openDir(dirfd int, name string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(dirfd, name, flags, 0)
	if errors.Is(err, unix.EACCES) {
		if err := makeWritable(dirfd, name); err != nil {
			return -1, err
		}
		fd, err = unix.Openat(dirfd, name, flags, 0)
	}
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil && st.Mode&0o700 != 0o700 {
		if err := unix.Fchmod(fd, st.Mode&0o7777|0o700); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

// makeWritable changes the mode of a directory without following a link.
func makeWritable(dirfd int, name string) error {
	fd, err := unix.Openat(dirfd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), 0o700)
}
