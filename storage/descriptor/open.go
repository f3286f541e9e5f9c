// Package descriptor opens, lists and reads files by the descriptors of the directories
// that they are in. It follows no link, and waits for nobody.
package descriptor

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Open opens an entry of a directory, again after an interrupted call.
func Open(dirfd int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// Opener opens the files of one tree to be read, such that when they were read is not
// written down, as far as it may: only the owner, or root, may ask for that. To write it
// down costs as much as all else that reading a small file does. The zero value is ready.
type Opener struct{ another bool } // the files are another's

// Open is [Open] for reading.
func (o *Opener) Open(dirfd int, name string, flags int) (int, error) {
	if !o.another {
		fd, err := Open(dirfd, name, flags|unix.O_RDONLY|unix.O_NOATIME)
		if !errors.Is(err, unix.EPERM) {
			return fd, err
		}
		o.another = true
	}
	return Open(dirfd, name, flags|unix.O_RDONLY)
}
