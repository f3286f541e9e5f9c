package localstore

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

const directoryFlags = unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// openParent opens the directory that a tree lies in, which is ours and may be
// named through links.
func openParent(real string) (int, error) {
	fd, err := unix.Open(filepath.Dir(real), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: filepath.Dir(real), Err: err}
	}
	return fd, nil
}

// openHere opens a directory that is an entry of another, on the same mount: a
// link, and what is mounted on the name, are refused (ENOTDIR or ELOOP, EXDEV).
func openHere(dirfd int, name string, flags int) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | directoryFlags), Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(dirfd, name, &how)
	if errors.Is(err, unix.ENOSYS) { // a system call filter, such as the one of our own sandbox
		return openSameDevice(dirfd, name, flags)
	}
	return fd, err
}

// openSameDevice does not see that a directory of the same file system is
// mounted.
func openSameDevice(dirfd int, name string, flags int) (int, error) {
	fd, err := unix.Openat(dirfd, name, flags|directoryFlags, 0)
	if err != nil {
		return -1, err
	}
	var outer, inner unix.Stat_t
	err = errors.Join(unix.Fstat(dirfd, &outer), unix.Fstat(fd, &inner))
	if err == nil && outer.Dev != inner.Dev {
		err = unix.EXDEV
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// openWritable opens a directory whose entries are to be changed. One whose
// owner may not do that is made writable, which the administrator has no need
// of.
func openWritable(dirfd int, name string) (int, error) {
	fd, err := openHere(dirfd, name, unix.O_RDONLY)
	if errors.Is(err, unix.EACCES) {
		if err := makeWritable(dirfd, name); err != nil {
			return -1, err
		}
		return openHere(dirfd, name, unix.O_RDONLY)
	}
	if err != nil || os.Geteuid() == 0 {
		return fd, err
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && int(st.Uid) == os.Geteuid() && st.Mode&0o700 != 0o700 {
		err = unix.Fchmod(fd, 0o700)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// makeWritable changes the mode of a directory that perhaps cannot be read.
func makeWritable(dirfd int, name string) error {
	fd, err := openHere(dirfd, name, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod(procPath(fd), 0o700)
}

// procPath names an open file for calls that take no descriptor of this kind.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// readNames lists an open directory, in no order, and leaves it open.
func readNames(fd int, shown string) ([]string, error) {
	again, err := unix.Openat(fd, ".", unix.O_RDONLY|directoryFlags, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: shown, Err: err}
	}
	dir := os.NewFile(uintptr(again), shown)
	names, err := dir.Readdirnames(-1)
	return names, errors.Join(err, dir.Close())
}
