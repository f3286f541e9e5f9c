package copying

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"troupe/storage/binarycache"
	"troupe/storage/narinfo"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Cache is a binary cache as either end of a copy.
type Cache struct{ *binarycache.Cache }

func (c Cache) Info(ctx context.Context, p storepath.Path) (validity.Info, bool, error) {
	n, found, err := c.Cache.Info(ctx, p)
	return validity.Info{Path: n.Path, NarHash: n.NarHash, NarSize: n.NarSize, References: n.References, Deriver: n.Deriver,
		Signatures: n.Signatures, CA: n.CA}, found, err
}

func (c Cache) NAR(ctx context.Context, p storepath.Path, w io.Writer) error {
	info, found, err := c.Cache.Info(ctx, p)
	if err == nil && !found {
		err = fmt.Errorf("'%s' is gone from '%s'", p.Base(), c)
	}
	if err != nil {
		return err
	}
	archive, err := c.Fetch(ctx, info)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, archive)
	return errors.Join(err, archive.Close())
}

func (c Cache) Realisation(ctx context.Context, id realisation.ID) (realisation.Realisation, bool, error) {
	return c.Cache.Realisation(ctx, id)
}

// Realisations: a cache has them by derivation only.
func (c Cache) Realisations(context.Context, storepath.Path) ([]realisation.Realisation, error) {
	return nil, nil
}

func (c Cache) Valid(ctx context.Context, paths []storepath.Path, _ bool) (valid []storepath.Path, err error) {
	if err := c.Create(ctx); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	var mu sync.Mutex // guards valid
	for _, p := range paths {
		group.Go(func() error {
			there, err := c.Has(ctx, p)
			if there {
				mu.Lock()
				defer mu.Unlock()
				valid = append(valid, p)
			}
			return err
		})
	}
	return valid, group.Wait()
}

// Add uploads; how many are packed at a time is for the cache to say.
func (c Cache) Add(ctx context.Context, objects []Object) error {
	return inParallel(ctx, objects, atOnce, func(ctx context.Context, o Object) error {
		i := o.Info
		return piped(o, func(r io.Reader) error {
			_, err := c.Upload(ctx, narinfo.Info{Path: i.Path, NarHash: i.NarHash, NarSize: i.NarSize, References: i.References, Deriver: i.Deriver,
				Signatures: i.Signatures, CA: i.CA}, r)
			return err
		})
	})
}

func (c Cache) Realise(ctx context.Context, r realisation.Realisation) error {
	return c.PutRealisation(ctx, r)
}
