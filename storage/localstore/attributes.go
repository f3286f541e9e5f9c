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
func (f *file) removeAttributes() error {
	if f.st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil
	}
	names, err := f.attributes()
	for _, name := range names {
		if slices.Contains(keptAttributes, name) {
			continue
		}
		if err := f.removeAttribute(name); err != nil {
			return os.NewSyscallError("removexattr "+name, err)
		}
	}
	return err
}

func (f *file) attributes() ([]string, error) {
	var small [256]byte
	list := small[:]
	n, err := f.listAttributes(list)
	if errors.Is(err, unix.ERANGE) {
		list = make([]byte, attributeListMax)
		n, err = f.listAttributes(list)
	}
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, os.NewSyscallError("listxattr", err)
	}
	return strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00"), nil
}

func (f *file) listAttributes(list []byte) (int, error) {
	if f.bare {
		return unix.Listxattr(procPath(f.fd), list)
	}
	return unix.Flistxattr(f.fd, list)
}

// removeAttribute makes a file writable where its owner has to.
func (f *file) removeAttribute(name string) error {
	err := unix.Removexattr(procPath(f.fd), name)
	if errors.Is(err, unix.EACCES) && f.st.Mode&0o200 == 0 {
		if err := f.chmod(f.st.Mode&0o7777 | 0o200); err != nil {
			return err
		}
		err = unix.Removexattr(procPath(f.fd), name)
	}
	return err
}
