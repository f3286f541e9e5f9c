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

// WriteBack has the kernel begin to write a large file to disk while it is written or read,
// so that a flush finds most of that done. Nobody waits for it, and whether it went well
// the flush says. The zero value is ready.
type WriteBack struct{ at, begun int64 } // bytes

// WriteBackEach is how many bytes are begun at a time. Smaller files are left to the flush.
const WriteBackEach = 4 << 20

// Behind notes that n more bytes were written.
func (w *WriteBack) Behind(fd, n int) {
	if w.at += int64(n); w.at-w.begun >= WriteBackEach {
		w.begin(fd, w.at)
	}
}

// Ahead notes that n more bytes are about to be read.
func (w *WriteBack) Ahead(fd, n int) {
	if w.at += int64(n); w.at > w.begun {
		w.begin(fd, w.at+WriteBackEach)
	}
}

func (w *WriteBack) begin(fd int, end int64) {
	unix.SyncFileRange(fd, w.begun, end-w.begun, unix.SYNC_FILE_RANGE_WRITE)
	w.begun = end
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
