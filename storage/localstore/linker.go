package localstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"troupe/storage/nar"
	"troupe/storage/nixhash"
)

// linker goes through one tree for its [Optimiser].
type linker struct {
	*Optimiser
	ctx   context.Context
	saved Saved
}

// place is an entry of an open directory.
type place struct {
	dirfd       int
	name, shown string
	depth       int // 0 is the tree itself
}

// entry says whether the directory that it is in has changed.
func (w *linker) entry(at place) (changed bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstatat(at.dirfd, at.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, &os.PathError{Op: "stat", Path: at.shown, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return false, w.directory(at, &st)
	case unix.S_IFREG:
		if st.Mode&0o222 != 0 { // whoever can write to it would write to all the others
			w.Warn(fmt.Sprintf("skipping suspicious writable file '%s'", at.shown))
			return false, nil
		}
	case unix.S_IFLNK:
	default:
		return false, nil
	}
	if _, known := w.Known[Inode{st.Dev, st.Ino}]; known {
		return false, nil
	}
	return w.file(at, &st)
}

func (w *linker) directory(at place, st *unix.Stat_t) error {
	if at.depth >= maxDepth {
		return fmt.Errorf("optimise '%s': directories are nested more than %d deep", at.shown, maxDepth)
	}
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	fd, err := openHere(at.dirfd, at.name, unix.O_RDONLY)
	if err != nil {
		return &os.PathError{Op: "open", Path: at.shown, Err: err}
	}
	defer unix.Close(fd)
	names, err := readNames(fd, at.shown)
	changed := false
	for i := 0; i < len(names) && err == nil; i++ {
		var c bool
		c, err = w.entry(place{fd, names[i], at.shown + "/" + names[i], at.depth + 1})
		changed = changed || c
	}
	if changed { // give it back the mode and the time that it had
		err = errors.Join(err, os.NewSyscallError("chmod", unix.Fchmod(fd, st.Mode&0o7777)),
			os.NewSyscallError("utimensat", unix.UtimesNanoAt(fd, ".", []unix.Timespec{st.Atim, st.Mtim}, 0)))
	}
	return err
}

// file makes a file the one of the same contents in the links' directory, or
// puts it there.
func (w *linker) file(at place, st *unix.Stat_t) (changed bool, err error) {
	h := nixhash.SHA256.New()
	if err := nar.HashAt(w.ctx, h, at.dirfd, at.name, at.shown); err != nil {
		return false, err
	}
	link := nixhash.Finish(nixhash.SHA256, h).Base32()
	for {
		var there unix.Stat_t
		err := unix.Fstatat(w.links, link, &there, unix.AT_SYMLINK_NOFOLLOW)
		switch {
		case errors.Is(err, unix.ENOENT):
			err = unix.Linkat(at.dirfd, at.name, w.links, link, 0)
			if errors.Is(err, unix.EEXIST) {
				continue // another was faster
			}
			if err == nil && w.Known != nil {
				w.Known[Inode{st.Dev, st.Ino}] = struct{}{}
			}
			return false, at.fail(err)
		case err != nil:
			return false, at.fail(err)
		case there.Dev == st.Dev && there.Ino == st.Ino:
			return false, nil
		case there.Size != st.Size:
			w.Warn(fmt.Sprintf("removing corrupted link '.links/%s'", link))
			if err := unix.Unlinkat(w.links, link, 0); err != nil && !errors.Is(err, unix.ENOENT) {
				return false, at.fail(err)
			}
			continue
		}
		return w.replace(at, link, uint64(st.Size))
	}
}

// fail passes over the reasons for which a file simply stays as it is: it has as
// many names as it can have, the directory or the disk is full, the kernel lets
// nobody link what is another's, or a collector was faster.
func (at place) fail(err error) error {
	switch {
	case err == nil, errors.Is(err, unix.EMLINK), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT),
		errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOENT):
		return nil
	}
	return fmt.Errorf("optimise '%s': %w", at.shown, err)
}

// asides numbers the links of this process that have no place yet.
var asides atomic.Uint64

// replace puts a further name of a link in a file's place, in one step.
func (w *linker) replace(at place, link string, size uint64) (changed bool, err error) {
	aside := filepath.Join(w.layout.StagingDir(), "link-"+strconv.FormatUint(asides.Add(1), 10))
	err = unix.Linkat(w.links, link, unix.AT_FDCWD, aside, 0)
	if errors.Is(err, unix.ENOENT) { // the staging directory, or the link
		if err := w.layout.makeStaging(); err != nil {
			return false, err
		}
		err = unix.Linkat(w.links, link, unix.AT_FDCWD, aside, 0)
	}
	if err != nil {
		return false, at.fail(err)
	}
	err = unix.Renameat(unix.AT_FDCWD, aside, at.dirfd, at.name)
	if errors.Is(err, unix.EACCES) && at.depth > 0 { // an ordinary user's read-only directory
		if err = unix.Fchmod(at.dirfd, 0o755); err == nil {
			changed = true
			err = unix.Renameat(unix.AT_FDCWD, aside, at.dirfd, at.name)
		}
	}
	if err != nil {
		return changed, errors.Join(at.fail(err), unix.Unlink(aside))
	}
	w.saved.Files++
	w.saved.Bytes += size
	return true, nil
}
