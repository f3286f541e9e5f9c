package nar

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"troupe/storage/descriptor"
)

// RestoreStored is [Restore] with the metadata that files have in a store: modes 444
// and 555, and time 1. Where it fails, what was made stays. Plain says that all of it
// is so; otherwise something else may come with the place, of which only the first file
// is looked at: an owner, attributes, a narrower umask.
func RestoreStored(r io.Reader, path string) (plain bool, err error) {
	s, err := restoring(path)
	if err != nil {
		return false, err
	}
	defer s.close()
	s.store = &asStored{}
	if err := Parse(r, s); err != nil {
		return false, restoreError(path, err)
	}
	return s.store.looked && !s.store.odd, nil
}

// asStored gives files their metadata in a store as they are made; nil gives none.
type asStored struct {
	looked bool // at the first file that was made
	odd    bool // it is not as it would be with nothing but our own doing
}

// storedTime is in seconds since 1970.
const storedTime = 1

var storedTimes = []unix.Timespec{{Sec: storedTime}, {Sec: storedTime}}

// mode is what a file is made with.
func (s *asStored) mode(executable bool) uint32 {
	switch {
	case s != nil && executable:
		return 0o555
	case s != nil:
		return 0o444
	case executable:
		return 0o777
	}
	return 0o666
}

// look inspects the first file or directory, which was made with that mode. What it
// has inherited, others inherit too.
func (s *asStored) look(fd int, mode uint32) error {
	if s == nil || s.looked {
		return nil
	}
	s.looked = true
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	attributes, err := unix.Flistxattr(fd, nil)
	if err == unix.ENOTSUP {
		attributes, err = 0, nil
	}
	s.odd = attributes > 0 || int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid() || st.Mode&0o7777 != mode&^0o022
	return err
}

func (s *asStored) file(fd int, mode uint32) error {
	if s == nil {
		return nil
	}
	if err := s.look(fd, mode); err != nil {
		return err
	}
	return descriptor.SetTimes(fd, storedTime)
}

func (s *asStored) directory(fd int) error {
	if s == nil {
		return nil
	}
	if err := unix.Fchmod(fd, 0o555); err != nil {
		return err
	}
	return descriptor.SetTimes(fd, storedTime)
}

func (s *asStored) symlink(dirfd int, name string) error {
	if s == nil {
		return nil
	}
	return unix.UtimesNanoAt(dirfd, name, storedTimes, unix.AT_SYMLINK_NOFOLLOW)
}
