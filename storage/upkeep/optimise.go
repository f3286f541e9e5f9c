// Package upkeep goes over all that is valid: whether it is there, whole and
// closed, and whether its files can share their contents. Others may add, build
// and collect meanwhile.
package upkeep

import (
	"context"
	"errors"

	"troupe/storage/localstore"
	"troupe/storage/validity"
)

// Optimise makes equal files of all valid paths one file each. warn is told what
// is odd, and at may be told after each path what has been saved so far.
func Optimise(ctx context.Context, l localstore.Layout, db *validity.DB, warn func(string), at func(localstore.Saved)) (total localstore.Saved, err error) {
	o, err := localstore.OpenOptimiser(l, warn)
	if err != nil {
		return total, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if err := o.Learn(); err != nil {
		return total, err
	}
	for info, err := range db.All() {
		if err != nil {
			return total, err
		}
		if ctx.Err() != nil {
			return total, context.Cause(ctx)
		}
		saved, err := o.Tree(ctx, l.RealPath(info.Path))
		total.Files += saved.Files
		total.Bytes += saved.Bytes
		if err != nil {
			if valid, verr := db.Valid(info.Path); valid || verr != nil {
				return total, errors.Join(err, verr)
			}
			continue // collected meanwhile
		}
		if at != nil {
			at(total)
		}
	}
	return total, nil
}
