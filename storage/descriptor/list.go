package descriptor

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Entry is one of a directory's.
type Entry struct {
	Name string
	Kind uint32 // S_IFREG, S_IFDIR and so on; 0 where the file system does not say
}

// KindOf is the entry's kind, which is asked for where the list did not say it; shown is
// for errors.
func (e Entry) KindOf(dirfd int, shown string) (uint32, error) {
	if e.Kind != 0 {
		return e.Kind, nil
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, e.Name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, &os.PathError{Op: "stat", Path: shown, Err: err}
	}
	return st.Mode & unix.S_IFMT, nil
}

// Compare orders entries as archives do, by the bytes of their names.
func (e Entry) Compare(o Entry) int { return strings.Compare(e.Name, o.Name) }

// listSize is how many bytes of a list are read at a time.
const listSize = 1 << 15

var lists = sync.Pool{New: func() any { b := make([]byte, listSize); return &b }}

// List lists a directory that has just been opened, in no order; shown is for errors.
func List(fd int, shown string) (entries []Entry, err error) {
	buf := lists.Get().(*[]byte)
	defer lists.Put(buf)
	for {
		n, err := unix.Getdents(fd, *buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "list", Path: shown, Err: err}
		}
		if n == 0 {
			return entries, nil
		}
		entries = parse(entries, (*buf)[:n])
	}
}

// Where the parts of an entry are, by getdents64(2): after its inode and its place come
// the length of the whole, the kind, and the name, which a zero byte ends.
const (
	lengthAt = 16
	kindAt   = 18
	nameAt   = 19
)

// parse appends what the kernel has listed, without the directory and the one above.
func parse(entries []Entry, list []byte) []Entry {
	for len(list) > nameAt {
		length := int(binary.NativeEndian.Uint16(list[lengthAt:]))
		name, _, _ := bytes.Cut(list[nameAt:length], []byte{0})
		if s := string(name); s != "." && s != ".." {
			entries = append(entries, Entry{s, uint32(list[kindAt]) << 12})
		}
		list = list[length:]
	}
	return entries
}
