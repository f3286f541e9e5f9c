package localstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"troupe/storage/descriptor"
)

// Rewrite replaces hash parts in a tree, in the contents of files, the targets of
// links and the names of both: a builder that could not write to an output's own
// place knew another one. Each pair is what is replaced and by what, of the same
// length. It goes by descriptors and follows no link.
func Rewrite(real string, pairs map[string]string) error {
	if len(pairs) == 0 {
		return nil
	}
	r := rewriter{}
	for from, to := range pairs {
		if len(from) != len(to) || from == "" {
			return fmt.Errorf("rewrite '%s': '%s' and '%s' are not of the same length", real, from, to)
		}
		r.pairs = append(r.pairs, [2][]byte{[]byte(from), []byte(to)})
		r.longest = max(r.longest, len(from))
	}
	slices.SortFunc(r.pairs, func(a, b [2][]byte) int { return bytes.Compare(a[0], b[0]) })
	dirfd, err := openParent(real)
	if err != nil {
		return err
	}
	defer unix.Close(dirfd)
	return r.node(dirfd, filepath.Base(real), real, 0)
}

type rewriter struct {
	pairs   [][2][]byte
	longest int
}

// replace changes b in place, and says whether anything was replaced.
func (r *rewriter) replace(b []byte) (changed bool) {
	for _, p := range r.pairs {
		for from := 0; ; from += len(p[0]) {
			i := bytes.Index(b[from:], p[0])
			if i < 0 {
				break
			}
			from += i
			copy(b[from:], p[1])
			changed = true
		}
	}
	return changed
}

func (r *rewriter) node(dirfd int, name, shown string, depth int) error {
	if depth >= maxDepth {
		return fmt.Errorf("rewrite '%s': directories are nested more than %d deep", shown, maxDepth)
	}
	var st unix.Stat_t
	err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil {
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			err = r.file(dirfd, name, st.Mode)
		case unix.S_IFLNK:
			err = r.link(dirfd, name, &st)
		case unix.S_IFDIR:
			return r.directory(dirfd, name, shown, depth)
		}
	}
	if err != nil {
		return &os.PathError{Op: "rewrite", Path: shown, Err: err}
	}
	return nil
}

// rewriteChunk is how much of a file is looked at at a time, in bytes.
const rewriteChunk = 1 << 18

// file looks through a file in pieces that overlap, and writes those that change.
func (r *rewriter) file(dirfd int, name string, mode uint32) error {
	fd, err := unix.Openat(dirfd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	in, err := reopen(fd, mode|0o400, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer in.Close()
	var out *os.File
	defer func() { out.Close() }() // nothing is buffered
	buf := make([]byte, rewriteChunk)
	for at := int64(0); ; {
		n, err := in.ReadAt(buf, at)
		if err != nil && err != io.EOF {
			return err
		}
		if r.replace(buf[:n]) {
			if out == nil {
				if out, err = reopen(fd, mode|0o600, os.O_WRONLY); err != nil {
					return err
				}
			}
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		if n < len(buf) {
			return nil
		}
		at += int64(n - r.longest + 1)
	}
}

// reopen opens the file of a descriptor; where its owner may not do that the
// mode is changed, which is made canonical later.
func reopen(fd int, mode uint32, how int) (*os.File, error) {
	f, err := os.OpenFile(procPath(fd), how, 0)
	if !errors.Is(err, unix.EACCES) {
		return f, err
	}
	if err := unix.Chmod(procPath(fd), mode&0o777); err != nil {
		return nil, err
	}
	return os.OpenFile(procPath(fd), how, 0)
}

// link makes a link anew, which stays its builder's: what is not is refused later.
func (r *rewriter) link(dirfd int, name string, was *unix.Stat_t) error {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dirfd, name, target)
	if err != nil || !r.replace(target[:n]) {
		return err
	}
	if err := unix.Unlinkat(dirfd, name, 0); err != nil {
		return err
	}
	if err := unix.Symlinkat(string(target[:n]), dirfd, name); err != nil {
		return err
	}
	return giveLink(dirfd, name, was)
}

// giveLink gives a link that has just been made to whom another belonged; something else
// that has come to its name meanwhile is left alone.
func giveLink(dirfd int, name string, was *unix.Stat_t) error {
	if int(was.Uid) == os.Geteuid() {
		return nil
	}
	fd, err := descriptor.Open(dirfd, name, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK || int(st.Uid) != os.Geteuid() || st.Nlink > 1 {
		return nil
	}
	return unix.Fchownat(fd, "", int(was.Uid), int(was.Gid), unix.AT_EMPTY_PATH)
}

func (r *rewriter) directory(dirfd int, name, shown string, depth int) error {
	fd, err := openWritable(dirfd, name)
	if err != nil {
		return &os.PathError{Op: "open", Path: shown, Err: err}
	}
	defer unix.Close(fd)
	names, err := readNames(fd, shown)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := r.node(fd, n, shown+"/"+n, depth+1); err != nil {
			return err
		}
		renamed := []byte(n)
		if !r.replace(renamed) {
			continue
		}
		if err := unix.Renameat2(fd, n, fd, string(renamed), unix.RENAME_NOREPLACE); err != nil {
			return &os.PathError{Op: "rename", Path: shown + "/" + n, Err: err}
		}
	}
	return nil
}
