package nar

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"troupe/storage/beside"
	"troupe/storage/descriptor"
)

// Dump writes the archive of a file, directory or symbolic link. It follows no
// link below path, and none that path is.
func Dump(w io.Writer, path string) error { return DumpAt(w, unix.AT_FDCWD, path, path) }

// DumpAt is [Dump] of an entry of an open directory; shown is for errors.
func DumpAt(w io.Writer, dirfd int, name, shown string) error {
	d := &dumper{Writer: NewWriter(w)}
	if err := d.node(dirfd, descriptor.Entry{Name: name}, shown); err != nil {
		d.err = err
	}
	if err := d.Close(); err != nil {
		return fmt.Errorf("dump '%s': %w", shown, err)
	}
	return nil
}

// Hash gives a hash, which does not fail, the archive that [Dump] would write. Of a large
// one it is used beside what reads that. It ends with ctx.
func Hash(ctx context.Context, h io.Writer, path string) error {
	return HashAt(ctx, h, unix.AT_FDCWD, path, path)
}

// HashAt is [Hash] as [DumpAt] is [Dump].
func HashAt(ctx context.Context, h io.Writer, dirfd int, name, shown string) error {
	w := beside.NewWriter(Within(ctx, io.Discard), h)
	defer w.Close()
	return DumpAt(w, dirfd, name, shown)
}

// DumpFile writes the archive of a file that is not executable, of its contents.
func DumpFile(w io.Writer, contents []byte) error {
	a := NewWriter(w)
	a.File("", false, uint64(len(contents)), bytes.NewReader(contents)) // Close says it
	return a.Close()
}

type dumper struct {
	*Writer
	opener descriptor.Opener
}

func (d *dumper) node(dirfd int, e descriptor.Entry, shown string) error {
	if d.depth >= maxDepth {
		return fmt.Errorf("'%s': directories are nested more than %d deep", shown, maxDepth)
	}
	d.pace.Step()
	kind, err := e.KindOf(dirfd, shown)
	if err != nil {
		return err
	}
	switch kind {
	case unix.S_IFREG:
		return d.file(dirfd, e.Name, shown)
	case unix.S_IFDIR:
		return d.directory(dirfd, e.Name, shown)
	case unix.S_IFLNK:
		return d.symlink(dirfd, e.Name, shown)
	}
	return fmt.Errorf("file '%s' has an unsupported type", shown)
}

func (d *dumper) symlink(dirfd int, name, shown string) error {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dirfd, name, target)
	if err != nil {
		return &os.PathError{Op: "readlink", Path: shown, Err: err}
	}
	return d.Symlink(name, string(target[:n]))
}

func (d *dumper) file(dirfd int, name, shown string) error {
	fd, err := d.opener.Open(dirfd, name, 0)
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
	return d.File(name, st.Mode&unix.S_IXUSR != 0, uint64(st.Size), &descriptor.Contents{FD: fd, Shown: shown})
}

func (d *dumper) directory(dirfd int, name, shown string) error {
	fd, err := d.opener.Open(dirfd, name, unix.O_DIRECTORY)
	if err != nil {
		return &os.PathError{Op: "open", Path: shown, Err: err}
	}
	defer unix.Close(fd)
	entries, err := descriptor.List(fd, shown)
	if err != nil {
		return err
	}
	slices.SortFunc(entries, descriptor.Entry.Compare)
	if err := d.Directory(name); err != nil {
		return err
	}
	for _, e := range entries {
		if err := d.node(fd, e, shown+"/"+e.Name); err != nil {
			return err
		}
	}
	return d.Up()
}
