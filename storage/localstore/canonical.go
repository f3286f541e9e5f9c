package localstore

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"troupe/storage/pace"
)

// Inode is a file on a file system, whatever its names.
type Inode struct{ Device, Number uint64 }

// Options of [Canonicalise].
type Options struct {
	// BuilderUID is the only owner that files may have; -1 is anybody.
	BuilderUID int
	// Seen are the files of this build that are canonical already: a file that
	// two outputs share changes its owner with the first.
	Seen map[Inode]struct{}
}

// Canonicalise makes the metadata of a tree what it is for every store object:
// modes 444 and 555, time 1, the service's owner, no extended attributes. It
// goes by descriptors and follows no link.
func Canonicalise(real string, o Options) error {
	dirfd, err := openParent(real)
	if err != nil {
		return err
	}
	defer unix.Close(dirfd)
	c := canonicaliser{Options: o, uid: os.Geteuid(), gid: os.Getegid()}
	return c.node(dirfd, filepath.Base(real), real, 0)
}

// maxDepth of directories in directories is what an archive may have; deeper
// trees are no store objects.
const maxDepth = 64

type canonicaliser struct {
	Options
	uid, gid int
	pace     pace.Pace
}

func (c *canonicaliser) node(dirfd int, name, shown string, depth int) error {
	if depth >= maxDepth {
		return fmt.Errorf("canonicalise '%s': directories are nested more than %d deep", shown, maxDepth)
	}
	c.pace.Step()
	fd, err := unix.Openat(dirfd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: shown, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: shown, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFREG && kind != unix.S_IFDIR && kind != unix.S_IFLNK {
		return fmt.Errorf("file '%s' has an unsupported type", shown)
	}
	inode := Inode{st.Dev, st.Ino}
	if err := c.checkOwner(&st, inode, shown); err != nil {
		return err
	}
	if kind == unix.S_IFDIR {
		if err := c.children(fd, &st, shown, depth); err != nil {
			return err
		}
	} else if c.Seen != nil {
		c.Seen[inode] = struct{}{}
	}
	if err := c.mend(fd, &st); err != nil {
		return fmt.Errorf("canonicalise '%s': %w", shown, err)
	}
	return nil
}

// checkOwner refuses what the builder did not make: a link to somebody else's
// file would become the store's.
func (c *canonicaliser) checkOwner(st *unix.Stat_t, inode Inode, shown string) error {
	if c.BuilderUID < 0 || int(st.Uid) == c.BuilderUID {
		return nil
	}
	if _, seen := c.Seen[inode]; seen && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	return fmt.Errorf("invalid ownership on file '%s'", shown)
}

func (c *canonicaliser) children(fd int, st *unix.Stat_t, shown string, depth int) error {
	if st.Mode&0o700 != 0o700 { // a directory that cannot be read cannot be looked into
		if err := unix.Chmod(procPath(fd), 0o700); err != nil {
			return &os.PathError{Op: "chmod", Path: shown, Err: err}
		}
	}
	names, err := readNames(fd, shown)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := c.node(fd, n, shown+"/"+n, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// mend sets what differs from the canonical metadata, the time last.
func (c *canonicaliser) mend(fd int, st *unix.Stat_t) error {
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	if err := removeAttributes(fd, st); err != nil {
		return err
	}
	foreign := int(st.Uid) != c.uid || int(st.Gid) != c.gid
	if foreign { // before the mode, which its owner could change back
		if err := unix.Fchownat(fd, "", c.uid, c.gid, unix.AT_EMPTY_PATH); err != nil {
			return os.NewSyscallError("chown", err)
		}
	}
	if mode := canonicalMode(st.Mode); !link && (foreign || st.Mode&0o7777 != mode || st.Mode&0o700 != 0o700) {
		if err := unix.Chmod(procPath(fd), mode); err != nil {
			return os.NewSyscallError("chmod", err)
		}
	}
	if st.Mtim.Sec == canonicalTime && st.Mtim.Nsec == 0 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	times := []unix.Timespec{{Sec: canonicalTime}, {Sec: canonicalTime}}
	if err := unix.UtimesNanoAt(fd, "", times, unix.AT_EMPTY_PATH); err != nil {
		return os.NewSyscallError("utimensat", err)
	}
	return nil
}

// canonicalTime is in seconds since 1970.
const canonicalTime = 1

func canonicalMode(mode uint32) uint32 {
	if mode&unix.S_IFMT == unix.S_IFDIR || mode&0o100 != 0 {
		return 0o555
	}
	return 0o444
}

// CheckOutput refuses an output whose top others than its builder can write
// to, or that the builder does not own.
func CheckOutput(real string, builderUID int) error {
	var st unix.Stat_t
	if err := unix.Lstat(real, &st); err != nil {
		return &os.PathError{Op: "stat", Path: real, Err: err}
	}
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	if (!link && st.Mode&0o022 != 0) || (builderUID >= 0 && int(st.Uid) != builderUID) {
		return fmt.Errorf("suspicious ownership or permission on '%s'; rejecting this build output", real)
	}
	return nil
}
