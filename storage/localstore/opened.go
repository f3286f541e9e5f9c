package localstore

import (
	"os"

	"golang.org/x/sys/unix"

	"troupe/storage/descriptor"
)

// file is one that its builder has left, opened before anything is believed of it.
type file struct {
	fd int
	// bare says that only its place is open (O_PATH): a link, what is neither a file nor
	// a directory, or what its owner cannot read. Calls that take no such descriptor are
	// given a name in /proc, which costs more than all that they do.
	bare bool
	st   unix.Stat_t // what it was; the mode is kept up
}

// open opens a file, of a kind that is not known where it is 0. To open something else
// than was listed does no harm: it is not waited for, and looked at afterwards.
func (c *canonicaliser) open(at place, kind uint32) (*file, error) {
	kind, err := descriptor.Entry{Name: at.name, Kind: kind}.KindOf(at.dirfd, at.shown)
	if err != nil {
		return nil, err
	}
	f := &file{fd: -1, bare: true}
	if kind == unix.S_IFREG || kind == unix.S_IFDIR {
		f.fd, err = c.opener.Open(at.dirfd, at.name, 0)
		f.bare = err != nil
	}
	if f.bare {
		f.fd, err = descriptor.Open(at.dirfd, at.name, unix.O_PATH)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: at.shown, Err: err}
	}
	if err := unix.Fstat(f.fd, &f.st); err != nil {
		f.close()
		return nil, &os.PathError{Op: "stat", Path: at.shown, Err: err}
	}
	return f, nil
}

func (f *file) close() { unix.Close(f.fd) }

// reopen opens the contents of what is bare and can be read by now.
func (f *file) reopen() error {
	if !f.bare {
		return nil
	}
	fd, err := unix.Open(procPath(f.fd), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	f.close()
	f.fd, f.bare = fd, false
	return nil
}

// list lists a directory. One that its owner cannot look into is made so that he can.
func (f *file) list(at place) ([]descriptor.Entry, error) {
	if f.st.Mode&0o500 != 0o500 {
		if err := f.chmod(0o700); err != nil {
			return nil, &os.PathError{Op: "chmod", Path: at.shown, Err: err}
		}
	}
	if err := f.reopen(); err != nil {
		return nil, &os.PathError{Op: "open", Path: at.shown, Err: err}
	}
	return descriptor.List(f.fd, at.shown)
}

func (f *file) chown(uid, gid int) error {
	if f.bare {
		return unix.Fchownat(f.fd, "", uid, gid, unix.AT_EMPTY_PATH)
	}
	return unix.Fchown(f.fd, uid, gid)
}

func (f *file) chmod(mode uint32) error {
	f.st.Mode = f.st.Mode&unix.S_IFMT | mode
	if f.bare {
		return unix.Chmod(procPath(f.fd), mode)
	}
	return unix.Fchmod(f.fd, mode)
}

func (f *file) setTimes(seconds int64) error {
	if f.bare {
		return unix.UtimesNanoAt(f.fd, "", []unix.Timespec{{Sec: seconds}, {Sec: seconds}}, unix.AT_EMPTY_PATH)
	}
	return descriptor.SetTimes(f.fd, seconds)
}
