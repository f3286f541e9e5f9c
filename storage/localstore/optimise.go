package localstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Saved is what hard links gave back.
type Saved struct {
	Files uint64
	Bytes uint64
}

func (s Saved) String() string {
	return fmt.Sprintf("%.2f MiB freed by hard-linking %d files", float64(s.Bytes)/(1<<20), s.Files)
}

// Optimiser makes files with the same contents and mode one file with many
// names, of which one is in [Layout.LinksDir]: as Nix does, links too. It goes
// by descriptors and may be used at once for different trees.
type Optimiser struct {
	// Warn is told of what is left alone although it is odd.
	Warn func(text string)
	// Known are files that are linked already and need not be read again; nil
	// where looking for them would cost more.
	Known map[Inode]struct{}

	links  int // a descriptor
	layout Layout
}

// OpenOptimiser makes [Layout.LinksDir] if it is not there.
func OpenOptimiser(l Layout, warn func(text string)) (*Optimiser, error) {
	if err := os.Mkdir(l.LinksDir(), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	o := &Optimiser{Warn: warn, layout: l}
	var err error
	if o.links, err = openDirectory(l.LinksDir()); err != nil {
		return nil, err
	}
	return o, nil
}

func openDirectory(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|directoryFlags, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// Close gives the descriptor back.
func (o *Optimiser) Close() error {
	return unix.Close(o.links)
}

// Learn fills Known with what is in [Layout.LinksDir], some 40 bytes a file.
func (o *Optimiser) Learn() error {
	names, err := readNames(o.links, ".links")
	if err != nil {
		return err
	}
	o.Known = make(map[Inode]struct{}, len(names))
	for _, n := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(o.links, n, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
			o.Known[Inode{st.Dev, st.Ino}] = struct{}{}
		} else if !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "stat", Path: ".links/" + n, Err: err}
		}
	}
	return nil
}

// Added is [Optimiser.Tree] of what is about to become valid, and nothing where
// there is no optimiser.
func (o *Optimiser) Added(real string) error {
	if o == nil {
		return nil
	}
	_, err := o.Tree(context.Background(), real)
	return err
}

// Tree links the files of one tree, which is canonical, and whose parent is left
// as it is but for a single file's name.
func (o *Optimiser) Tree(ctx context.Context, real string) (Saved, error) {
	parent, err := openParent(real)
	if err != nil {
		return Saved{}, err
	}
	defer unix.Close(parent)
	w := linker{Optimiser: o, ctx: ctx}
	_, err = w.entry(place{parent, filepath.Base(real), real, 0})
	return w.saved, err
}
