package upkeep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/validity"
)

// links looks at the files that others share. A link with other contents would
// spoil the next that is linked to it; the files that have it already are those
// of valid paths, and found there.
func (v *Verification) links(ctx context.Context) error {
	dir, err := os.Open(v.Layout.LinksDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1000)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := v.link(ctx, int(dir.Fd()), n); err != nil {
				return err
			}
		}
	}
}

func (v *Verification) link(ctx context.Context, dirfd int, name string) error {
	file := v.Layout.LinksDir() + "/" + name
	h := nixhash.SHA256.New()
	err := nar.HashAt(ctx, h, dirfd, name, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // collected meanwhile
	}
	if err != nil {
		return err
	}
	got := nixhash.Finish(nixhash.SHA256, h).Base32()
	if got == name {
		return nil
	}
	v.wrong("link '%s' was modified! expected hash '%s', got '%s'", file, name, got)
	if v.Repair == nil {
		return nil
	}
	if err := os.Remove(file); err != nil {
		return err
	}
	v.Say(LevelError, fmt.Sprintf("removed link '%s'", file))
	v.found.Mended++
	return nil
}

// contents hashes every valid path.
func (v *Verification) contents(ctx context.Context) error {
	v.found.Checked = 0
	for info, err := range v.DB.All() {
		if err != nil {
			return err
		}
		if err := v.path(ctx, info); err != nil {
			return err
		}
		v.checked()
	}
	return nil
}

func (v *Verification) path(ctx context.Context, info validity.Info) error {
	path := v.Layout.Dir.Join(info.Path)
	v.Say(LevelTalkative, fmt.Sprintf("checking contents of '%s'", path))
	h := info.NarHash.Algorithm().New()
	err := nar.Hash(ctx, h, v.Layout.RealPath(info.Path))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, fs.ErrNotExist):
		return nil // collected meanwhile, or said already
	case err != nil: // it cannot be read
		v.wrong("%v", err)
		return v.repair(ctx, info.Path)
	}
	got := nixhash.Finish(info.NarHash.Algorithm(), h)
	if got == info.NarHash {
		return nil
	}
	if now, ok, err := v.DB.Get(info.Path); err != nil || !ok || now.NarHash != info.NarHash {
		return err // it was collected or registered anew
	}
	v.wrong("path '%s' was modified! expected hash '%v', got '%v'", path, info.NarHash, got)
	return v.repair(ctx, info.Path)
}
