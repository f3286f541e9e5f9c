package localstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"troupe/storage/pace"
)

// Remove removes a tree and returns the bytes that it gave back. It goes by
// directory descriptors and follows no link, so that whoever swaps a directory
// for a link meanwhile gains nothing; it makes directories that it owns
// writable, and enters nothing that is mounted. What is not there is no error.
func Remove(real string) (freed uint64, err error) {
	parent, err := openParent(real)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer unix.Close(parent)
	r := &remover{shown: real, top: -1}
	err = r.entry(parent, filepath.Base(real), 0)
	return r.freed, err
}

// maxLevel bounds how many directories are open at a time.
const maxLevel = 100

// remover removes one tree. What lies deeper than maxLevel it moves to the top
// and comes to later, so that descriptors and stack do not grow with the depth.
// The top is a part of the tree, so that a crash leaves nothing beside it.
type remover struct {
	shown string // the tree
	top   int    // descriptor of the tree's own directory
	dents []byte // of the directory that is being listed
	moved int    // how many names were tried for what was moved to the top
	freed uint64 // bytes
	pace  pace.Pace
}

func (r *remover) fail(op, name string, level int, err error) error {
	path := r.shown
	if level > 0 {
		path += "/…/" + name
	}
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("remove '%s': a file system is mounted there", path)
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}

// entry removes what name is, or moves it to the top.
func (r *remover) entry(dirfd int, name string, level int) error {
	r.pace.Step()
	var st unix.Stat_t
	err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return r.fail("stat", name, level, err)
	}
	flags := 0
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if level == maxLevel {
			return r.moveUp(dirfd, name)
		}
		if err := r.directory(dirfd, name, level); err != nil {
			return err
		}
		flags = unix.AT_REMOVEDIR
	}
	if err := unix.Unlinkat(dirfd, name, flags); err != nil && !errors.Is(err, unix.ENOENT) {
		return r.fail("unlink", name, level, err)
	}
	if st.Nlink <= 1 || flags != 0 {
		r.freed += uint64(st.Blocks) * 512
	}
	return nil
}

// directory empties one. The top fills again while it is emptied.
func (r *remover) directory(dirfd int, name string, level int) error {
	fd, err := openWritable(dirfd, name)
	if err != nil {
		return r.fail("open", name, level, err)
	}
	if level > 0 {
		defer unix.Close(fd)
		return r.contents(fd, level)
	}
	r.top = fd
	defer unix.Close(fd)
	for before := -1; err == nil && before != r.moved; {
		before = r.moved
		err = r.contents(fd, level)
	}
	return err
}

func (r *remover) contents(fd, level int) error {
	names, err := r.names(fd)
	if err != nil {
		return r.fail("list", "", level, err)
	}
	for _, n := range names {
		if err := r.entry(fd, n, level+1); err != nil {
			return err
		}
	}
	return nil
}

// names lists a directory that was opened to be read, from its beginning.
func (r *remover) names(fd int) (names []string, err error) {
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return nil, err
	}
	if r.dents == nil {
		r.dents = make([]byte, 8<<10)
	}
	for {
		n, err := unix.ReadDirent(fd, r.dents)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			return names, err
		}
		_, _, names = unix.ParseDirent(r.dents[:n], -1, names)
	}
}

// moveUp gives a directory a name in the top that no file and no filled
// directory has; whoever made the tree may have taken any.
func (r *remover) moveUp(dirfd int, name string) error {
	if os.Geteuid() != 0 { // the entry .. of a directory changes with its place
		if err := makeWritable(dirfd, name); err != nil {
			return r.fail("chmod", name, maxLevel, err)
		}
	}
	for {
		r.moved++
		err := unix.Renameat(dirfd, name, r.top, fmt.Sprintf(".removed-%d", r.moved))
		switch {
		case err == nil, errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.ENOTDIR):
			return r.fail("rename", name, maxLevel, err)
		}
	}
}
