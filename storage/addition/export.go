package addition

import (
	"context"
	"errors"
	"io"

	"troupe/storage/export"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Import adds all that an export has, and returns its paths, in its order. They
// are durable when it returns, also those before one that failed. Nothing is
// read after the export. An export has no signatures, so that it is taken only
// from whom needs none.
func (a *Adder) Import(ctx context.Context, r io.Reader, t Terms) ([]storepath.Path, error) {
	var added []storepath.Path
	committed := 0
	for {
		more, err := export.Begin(r)
		if err == nil && more {
			var p storepath.Path
			if p, err = a.importPath(ctx, r, t); err == nil {
				if added = append(added, p); len(added)-committed < commitEvery {
					continue
				}
			}
		}
		cerr := a.Commit(context.WithoutCancel(ctx), added[committed:]...)
		committed = len(added)
		if err != nil || cerr != nil || !more {
			return added, errors.Join(err, cerr)
		}
	}
}

// importPath stages an archive before it is said whose it is.
func (a *Adder) importPath(ctx context.Context, r io.Reader, t Terms) (p storepath.Path, err error) {
	err = a.staged(func(place string) error {
		h, err := receiveArchive(ctx, place, 0, r)
		if err != nil {
			return err
		}
		rec, err := export.ReadRecord(untilDone{ctx, r}, a.Layout.Dir)
		if err != nil {
			return err
		}
		p = rec.Path
		info, _, err := a.admit(validity.Info{Path: p, References: rec.References, Deriver: rec.Deriver,
			NarHash: nixhash.Finish(nixhash.SHA256, h.sha256), NarSize: h.Size()}, t)
		if err != nil {
			return err
		}
		return a.settle(ctx, place, info, t.Repair)
	})
	return p, err
}
