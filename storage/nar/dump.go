package nar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"troupe/storage/pace"
)

// Dump writes the archive of a file, directory or symbolic link. It follows no
// link below path, and none that path is.
func Dump(w io.Writer, path string) error { return DumpAt(w, unix.AT_FDCWD, path, path) }

// DumpAt is [Dump] of an entry of an open directory; shown is for errors.
func DumpAt(w io.Writer, dirfd int, name, shown string) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	d := &dumper{w: w, buf: (*buf)[:0]}
	d.string(magic)
	err := d.node(dirfd, name, shown, 0)
	if err == nil {
		err = d.flush()
	}
	if err != nil {
		return fmt.Errorf("dump '%s': %w", shown, err)
	}
	return nil
}

// DumpFile writes the archive of a file that is not executable, of its contents.
func DumpFile(w io.Writer, contents []byte) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	d := &dumper{w: w, buf: (*buf)[:0]}
	for _, s := range []string{magic, "(", "type", "regular", "contents", string(contents), ")"} {
		d.string(s)
	}
	return d.flush()
}

// buffers are kept for the next: many a dump is of a small file.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, bufferSize)
	return &b
}}

// bufferSize is how much is written at a time.
const bufferSize = 1 << 17

type dumper struct {
	w   io.Writer
	buf []byte // not yet written; its capacity is the whole buffer
	err error

	pace pace.Pace
}

func (d *dumper) node(dirfd int, name, shown string, depth int) error {
	if depth >= maxDepth {
		return fmt.Errorf("'%s': directories are nested more than %d deep", shown, maxDepth)
	}
	d.pace.Step()
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: shown, Err: err}
	}
	d.string("(")
	d.string("type")
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		err = d.file(dirfd, name, shown)
	case unix.S_IFDIR:
		err = d.directory(dirfd, name, shown, depth)
	case unix.S_IFLNK:
		err = d.symlink(dirfd, name, shown)
	default:
		err = fmt.Errorf("file '%s' has an unsupported type", shown)
	}
	d.string(")")
	return errors.Join(err, d.err)
}

func (d *dumper) symlink(dirfd int, name, shown string) error {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dirfd, name, target)
	if err != nil {
		return &os.PathError{Op: "readlink", Path: shown, Err: err}
	}
	d.string("symlink")
	d.string("target")
	d.string(string(target[:n]))
	return nil
}

func (d *dumper) file(dirfd int, name, shown string) error {
	fd, err := openAt(dirfd, name, unix.O_RDONLY)
	if err != nil {
		return &os.PathError{Op: "open", Path: shown, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t // of what was opened, which is what is read
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: shown, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("file '%s' changed its type", shown)
	}
	d.string("regular")
	if st.Mode&unix.S_IXUSR != 0 {
		d.string("executable")
		d.string("")
	}
	d.string("contents")
	return d.contents(fd, uint64(st.Size), shown)
}

// contents reads straight into the buffer.
func (d *dumper) contents(fd int, size uint64, shown string) error {
	d.integer(size)
	for left := size; left > 0; {
		if len(d.buf) == cap(d.buf) {
			if err := d.flush(); err != nil {
				return err
			}
		}
		room := d.buf[len(d.buf):cap(d.buf)]
		n, err := unix.Read(fd, room[:min(uint64(len(room)), left)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return &os.PathError{Op: "read", Path: shown, Err: err}
		case n == 0:
			return fmt.Errorf("file '%s' became shorter while it was read", shown)
		}
		d.buf = d.buf[:len(d.buf)+n]
		left -= uint64(n)
	}
	d.pad(size)
	return nil
}

func (d *dumper) directory(dirfd int, name, shown string, depth int) error {
	fd, err := openAt(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return &os.PathError{Op: "open", Path: shown, Err: err}
	}
	dir := os.NewFile(uintptr(fd), shown)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	d.string("directory")
	for _, n := range names {
		d.string("entry")
		d.string("(")
		d.string("name")
		d.string(n)
		d.string("node")
		if err := d.node(fd, n, shown+"/"+n, depth+1); err != nil {
			return err
		}
		d.string(")")
	}
	return nil
}

// openAt opens without following a link, waiting for nobody, and again after an
// interrupted call.
func openAt(dirfd int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func (d *dumper) string(s string) {
	size := uint64(len(s))
	d.integer(size)
	for len(s) > 0 && d.err == nil {
		if len(d.buf) == cap(d.buf) {
			d.err = d.flush()
		}
		n := copy(d.buf[len(d.buf):cap(d.buf)], s)
		d.buf = d.buf[:len(d.buf)+n]
		s = s[n:]
	}
	d.pad(size)
}

// pad fills up to a multiple of eight bytes.
func (d *dumper) pad(size uint64) {
	n := int(-size & 7)
	if cap(d.buf)-len(d.buf) < n {
		d.err = errors.Join(d.err, d.flush())
	}
	d.buf = append(d.buf, make([]byte, n)...)
}

func (d *dumper) integer(n uint64) {
	if cap(d.buf)-len(d.buf) < 8 {
		d.err = errors.Join(d.err, d.flush())
	}
	d.buf = binary.LittleEndian.AppendUint64(d.buf, n)
}

func (d *dumper) flush() error {
	_, err := d.w.Write(d.buf)
	d.buf = d.buf[:0]
	return err
}
