package localstore

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"troupe/storage/nar"
)

// Copy copies a tree with modes and times and, as root, owners. Nobody else
// can write at the new place.
func Copy(from, to string) error {
	err := copyTree(from, to)
	if err == nil {
		err = copyMetadata(from, to)
	}
	if err != nil {
		return fmt.Errorf("copy '%s': %w", from, err)
	}
	return nil
}

// copyTree copies what an archive holds: names, contents, links and who may
// execute.
func copyTree(from, to string) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(nar.Dump(w, from)) }()
	err := nar.Restore(r, to)
	r.CloseWithError(err)
	return err
}

// copyMetadata gives a copy the modes, times and, as root, the owners of what
// it is a copy of. The depth is bounded by that of archives.
func copyMetadata(from, to string) error {
	fromDir, err := openParent(from)
	if err != nil {
		return err
	}
	defer unix.Close(fromDir)
	toDir, err := openParent(to)
	if err != nil {
		return err
	}
	defer unix.Close(toDir)
	return copyNode(fromDir, filepath.Base(from), toDir, filepath.Base(to), to)
}

func copyNode(fromDir int, fromName string, toDir int, toName, shown string) error {
	from, err := unix.Openat(fromDir, fromName, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open original of", Path: shown, Err: err}
	}
	defer unix.Close(from)
	to, err := unix.Openat(toDir, toName, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: shown, Err: err}
	}
	defer unix.Close(to)
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return &os.PathError{Op: "stat original of", Path: shown, Err: err}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		names, err := readNames(from, shown)
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := copyNode(from, n, to, n, shown+"/"+n); err != nil {
				return err
			}
		}
	}
	if err := setMetadata(to, &st); err != nil {
		return &os.PathError{Op: "set metadata of", Path: shown, Err: err}
	}
	return nil
}

// setMetadata sets the owner before the mode, which it may change, and the time
// last.
func setMetadata(fd int, st *unix.Stat_t) error {
	if os.Geteuid() == 0 {
		if err := unix.Fchownat(fd, "", int(st.Uid), int(st.Gid), unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(procPath(fd), st.Mode&0o777); err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(fd, "", []unix.Timespec{st.Atim, st.Mtim}, unix.AT_EMPTY_PATH)
}
