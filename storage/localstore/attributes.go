package localstore

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// keptAttributes belong to the file system and not to the file; they are Nix's
// default of ignored-acls.
var keptAttributes = []string{"security.csm", "security.selinux", "system.nfs4_acl"}

// attributeListMax is the most that the kernel gives, in bytes.
const attributeListMax = 64 << 10

// removeAttributes removes extended attributes, which are also how access lists
// are kept. Links have none: the kernel lets nobody but the administrator give
// them any.
func removeAttributes(fd int, st *unix.Stat_t) error {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil
	}
	names, err := listAttributes(fd)
	for _, name := range names {
		if slices.Contains(keptAttributes, name) {
			continue
		}
		if err := removeAttribute(fd, st, name); err != nil {
			return os.NewSyscallError("removexattr "+name, err)
		}
	}
	return err
}

func listAttributes(fd int) ([]string, error) {
	var small [256]byte
	list := small[:]
	n, err := unix.Listxattr(procPath(fd), list)
	if errors.Is(err, unix.ERANGE) {
		list = make([]byte, attributeListMax)
		n, err = unix.Listxattr(procPath(fd), list)
	}
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, os.NewSyscallError("listxattr", err)
	}
	return strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00"), nil
}

// removeAttribute makes a file writable where its owner has to; the mode that
// st tells is then no longer true, and it says so.
func removeAttribute(fd int, st *unix.Stat_t, name string) error {
	err := unix.Removexattr(procPath(fd), name)
	if errors.Is(err, unix.EACCES) && st.Mode&0o200 == 0 {
		st.Mode |= 0o200
		if err := unix.Chmod(procPath(fd), st.Mode&0o7777); err != nil {
			return err
		}
		err = unix.Removexattr(procPath(fd), name)
	}
	return err
}
