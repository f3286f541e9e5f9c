package ports

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// marks is what can be read of a directory, and what its owner can set, beside
// what is in it, its mode and its times.
type marks struct {
	flags      uint32 // as chattr sets them
	generation uint32 // as chattr -v sets it
	attributes string // the extended ones, ACLs among them, with their values
}

// look takes the stamp and the marks of a directory that is open.
func look(dir string, fd int) (s stamp, m marks, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return s, m, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if m, err = marksOf(fd); err != nil {
		return s, m, fmt.Errorf("look at '%s': %w", dir, err)
	}
	return stampOf(&st), m, nil
}

// fsGetVersion is FS_IOC_GETVERSION of linux/fs.h.
const fsGetVersion = 0x80087601

func marksOf(fd int) (m marks, err error) {
	// A file system without these has nothing to set.
	if m.flags, err = unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS); err != nil {
		m.flags = 0
	}
	if m.generation, err = unix.IoctlGetUint32(fd, fsGetVersion); err != nil {
		m.generation = 0
	}
	if m.attributes, err = attributesOf(fd); err != nil {
		return m, os.NewSyscallError("fgetxattr", err)
	}
	return m, nil
}

// attributesOf are the names and values of all extended attributes.
func attributesOf(fd int) (string, error) {
	names, err := sized(func(b []byte) (int, error) { return unix.Flistxattr(fd, b) })
	if errors.Is(err, unix.ENOTSUP) {
		return "", nil
	}
	all := names
	for name := range strings.SplitSeq(names, "\x00") {
		if name != "" && err == nil {
			var value string
			value, err = sized(func(b []byte) (int, error) { return unix.Fgetxattr(fd, name, b) })
			all += "\x00" + value
		}
	}
	return all, err
}

// sized calls what says how much there is where it is given no room.
func sized(get func([]byte) (int, error)) (string, error) {
	n, err := get(nil)
	if n == 0 || err != nil {
		return "", err
	}
	b := make([]byte, n)
	n, err = get(b)
	return string(b[:max(n, 0)]), err
}

// refresh sets a directory's times to now, which are as its last user liked them.
func refresh(dir string) error {
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	return os.NewSyscallError("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, dir, now, unix.AT_SYMLINK_NOFOLLOW))
}
