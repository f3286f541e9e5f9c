package localstore

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"troupe/storage/descriptor"
	"troupe/storage/nar"
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
	// Kept says that the contents are what they will be, and will be flushed: the kernel
	// begins with what is large when [Take] reads it.
	Kept bool
}

// Canonicalise makes the metadata of a tree what it is for every store object:
// modes 444 and 555, time 1, the service's owner, no extended attributes. It
// goes by descriptors and follows no link.
func Canonicalise(real string, o Options) error {
	return canonicalise(real, &canonicaliser{Options: o})
}

func canonicalise(real string, c *canonicaliser) error {
	dirfd, err := openParent(real)
	if err != nil {
		return err
	}
	defer unix.Close(dirfd)
	c.uid, c.gid = os.Geteuid(), os.Getegid()
	return c.node(place{dirfd, filepath.Base(real), real, 0}, 0)
}

// maxDepth of directories in directories is what an archive may have; deeper
// trees are no store objects.
const maxDepth = 64

type canonicaliser struct {
	Options
	// archive is given what is canonical, in the order of an archive; nil where nobody
	// reads it.
	archive *nar.Writer
	unread  error // why it was not given all

	uid, gid int
	opener   descriptor.Opener
	pace     pace.Pace
}

// node does one file, of a kind that is not known where it is 0.
func (c *canonicaliser) node(at place, kind uint32) error {
	if at.depth >= maxDepth {
		return fmt.Errorf("canonicalise '%s': directories are nested more than %d deep", at.shown, maxDepth)
	}
	c.pace.Step()
	f, err := c.open(at, kind)
	if err != nil {
		return err
	}
	defer f.close()
	switch kind := f.st.Mode & unix.S_IFMT; {
	case kind != unix.S_IFREG && kind != unix.S_IFDIR && kind != unix.S_IFLNK:
		return fmt.Errorf("file '%s' has an unsupported type", at.shown)
	case !c.owns(&f.st):
		return fmt.Errorf("invalid ownership on file '%s'", at.shown)
	case kind == unix.S_IFDIR:
		return c.directory(f, at)
	}
	if err := c.mend(f, at); err != nil || c.archive == nil {
		return err
	}
	c.unread = c.read(f, at)
	return c.unread
}

// owns refuses what the builder did not make: a link to somebody else's file
// would become the store's. A file with several names is met as often.
func (c *canonicaliser) owns(st *unix.Stat_t) bool {
	inode := Inode{st.Dev, st.Ino}
	_, seen := c.Seen[inode]
	if c.BuilderUID >= 0 && int(st.Uid) != c.BuilderUID && (!seen || st.Mode&unix.S_IFMT == unix.S_IFDIR) {
		return false
	}
	if c.Seen != nil && st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		c.Seen[inode] = struct{}{}
	}
	return true
}

func (c *canonicaliser) directory(f *file, at place) error {
	entries, err := f.list(at)
	if err != nil {
		return err
	}
	if c.archive != nil {
		slices.SortFunc(entries, descriptor.Entry.Compare)
		c.archive.Directory(at.name) // whose fault the next to be read says
	}
	for _, e := range entries {
		if err := c.node(place{f.fd, e.Name, at.shown + "/" + e.Name, at.depth + 1}, e.Kind); err != nil {
			return err
		}
	}
	if err := c.mend(f, at); err != nil || c.archive == nil {
		return err
	}
	c.unread = c.archive.Up()
	return c.unread
}

// read gives a file or a link to the archive.
func (c *canonicaliser) read(f *file, at place) error {
	if f.st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(f.fd, "", target)
		if err != nil {
			return &os.PathError{Op: "readlink", Path: at.shown, Err: err}
		}
		return c.archive.Symlink(at.name, string(target[:n]))
	}
	if err := f.reopen(); err != nil {
		return &os.PathError{Op: "open", Path: at.shown, Err: err}
	}
	contents := keptContents{Contents: descriptor.Contents{FD: f.fd, Shown: at.shown}}
	executable, size := f.st.Mode&unix.S_IXUSR != 0, uint64(f.st.Size)
	if c.Kept && size >= descriptor.WriteBackEach {
		return c.archive.File(at.name, executable, size, &contents)
	}
	return c.archive.File(at.name, executable, size, &contents.Contents)
}

// keptContents are written to disk while they are read.
type keptContents struct {
	descriptor.Contents
	descriptor.WriteBack
}

func (c *keptContents) Read(b []byte) (int, error) {
	c.Ahead(c.FD, len(b))
	return c.Contents.Read(b)
}

// mend sets what differs from the canonical metadata, the time last.
func (c *canonicaliser) mend(f *file, at place) error {
	if err := c.change(f); err != nil {
		return fmt.Errorf("canonicalise '%s': %w", at.shown, err)
	}
	return nil
}

func (c *canonicaliser) change(f *file) error {
	st := &f.st
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	if err := f.removeAttributes(); err != nil {
		return err
	}
	foreign := int(st.Uid) != c.uid || int(st.Gid) != c.gid
	if foreign { // before the mode, which its owner could change back
		if err := f.chown(c.uid, c.gid); err != nil {
			return os.NewSyscallError("chown", err)
		}
	}
	if mode := canonicalMode(st.Mode); !link && (foreign || st.Mode&0o7777 != mode) {
		if err := f.chmod(mode); err != nil {
			return os.NewSyscallError("chmod", err)
		}
	}
	if st.Mtim.Sec == canonicalTime && st.Mtim.Nsec == 0 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	if err := f.setTimes(canonicalTime); err != nil {
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
