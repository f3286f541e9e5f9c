package descriptor

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// File is the descriptor of a regular file, which nobody waits for: [os.File] would ask
// the kernel whether one can.
type File int

// Write implements [io.Writer].
func (f File) Write(b []byte) (written int, err error) {
	for written < len(b) {
		n, err := unix.Write(int(f), b[written:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// Contents reads a regular file of which the size is known, which is all that may be
// read; Shown is for errors.
type Contents struct {
	FD    int
	Shown string
}

// Read implements [io.Reader]. There is no end of the file: it may not come.
func (c *Contents) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(c.FD, b)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, &os.PathError{Op: "read", Path: c.Shown, Err: err}
		case n == 0 && len(b) > 0:
			return 0, fmt.Errorf("file '%s' became shorter while it was read", c.Shown)
		}
		return n, nil
	}
}

// SetTimes sets when an open file was read and written last, to seconds since 1970. The
// library's way is to name the file by an empty path, to look up which is a fifth of the
// call's work.
func SetTimes(fd int, seconds int64) error {
	times := [2]unix.Timespec{{Sec: seconds}, {Sec: seconds}}
	_, _, failed := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	if failed != 0 {
		return failed
	}
	return nil
}
