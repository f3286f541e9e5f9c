package ports

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
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
	// remembers says that the places of its entries, which reading it shows, tell
	// what was in it before: tmpfs and btrfs count all that were ever made.
	remembers bool
}

// look takes a directory's stamp and marks.
func look(dir string) (s stamp, m marks, err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return s, m, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
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
	m.remembers, err = remembers(fd)
	return m, err
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

// remembers reports whether the places of entries are of another kind than those
// of ext4 where it orders by the hashes of names: these end with the largest
// number there is.
func remembers(fd int) (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return true, os.NewSyscallError("fstatfs", err)
	}
	if fs.Type != unix.EXT4_SUPER_MAGIC {
		return true, nil
	}
	buffer := make([]byte, 16<<10)
	var last uint64
	for {
		n, err := unix.Getdents(fd, buffer)
		if err != nil {
			return true, os.NewSyscallError("getdents64", err)
		}
		if n == 0 {
			return last != math.MaxInt64, nil
		}
		for b := buffer[:n]; len(b) > 0; b = b[binary.NativeEndian.Uint16(b[16:]):] { // struct linux_dirent64
			last = binary.NativeEndian.Uint64(b[8:])
		}
	}
}

// refresh sets a directory's times to now, which are as its last user liked them.
func refresh(dir string) error {
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	return os.NewSyscallError("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, dir, now, unix.AT_SYMLINK_NOFOLLOW))
}
