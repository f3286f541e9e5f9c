package validity

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/storepath"
)

// Unregister makes paths invalid, durably, before their contents are deleted.
// It is a [*ReferrersError], and nothing is forgotten, when a valid path that
// is not among them refers to one. A path that is not valid is no error. With a
// derivation go its outputs' names and its last build.
//
// It does not ask for free disk space, as it comes before freeing some. Queries
// wait while it looks the paths up, so many are forgotten some hundreds at a
// time, referrers first.
func (db *DB) Unregister(paths ...storepath.Path) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	if db.broken != nil {
		return db.broken
	}
	b := db.pebble.NewBatch()
	waits, err := db.unregister(b, paths)
	if waits {
		err = b.SyncWait()
	}
	if err != nil && waits {
		err = fmt.Errorf("write database: %w", err)
		db.broken = fmt.Errorf("%w (%w)", ErrBroken, err)
	}
	return errors.Join(err, b.Close())
}

// unregister makes the paths invalid, visibly, and says whether a sync of the
// batch is to be awaited. No registration can come between its look for
// referrers and its deletions.
func (db *DB) unregister(b *pebble.Batch, paths []storepath.Path) (waits bool, err error) {
	db.overlay.mu.Lock()
	defer db.overlay.mu.Unlock()
	gone := map[storepath.Path]bool{}
	for _, p := range paths {
		gone[p] = true
	}
	for p := range gone {
		if err := db.checkUnused(p, gone); err != nil {
			return false, err
		}
	}
	for p := range gone {
		if db.overlay.infos[p] == nil {
			if err := db.forget(b, p, gone); err != nil {
				return false, err
			}
		}
	}
	if !b.Empty() {
		if err := db.applyNoWait(b); err != nil {
			return false, err
		}
	}
	for p := range gone {
		db.overlay.drop(p)
	}
	return !b.Empty(), nil
}

func (db *DB) checkUnused(p storepath.Path, gone map[storepath.Path]bool) error {
	var stay []storepath.Path
	for r := range db.overlay.referrers[p] {
		stay = append(stay, r)
	}
	stay, err := db.pairs(stay, keyReferrer, p)
	stay = slices.DeleteFunc(stay, func(r storepath.Path) bool { return gone[r] })
	if err == nil && len(stay) > 0 {
		err = &ReferrersError{p, sorted(stay)}
	}
	return err
}

// forget deletes what is durable of p. What is known of a derivation that is
// not valid itself goes with the first of its outputs.
func (db *DB) forget(b *pebble.Batch, p storepath.Path, gone map[storepath.Path]bool) error {
	var old Info
	found, err := db.read(pathKey(keyInfo, p), func(record []byte) (err error) {
		old, err = decodeInfo(p, record)
		return err
	})
	if err != nil || !found {
		return err
	}
	errs := []error{b.Delete(pathKey(keyInfo, p), nil), db.forgetDrv(b, p)}
	for _, r := range old.References {
		errs = append(errs, b.Delete(pairKey(keyReferrer, r, p.Base()), nil))
	}
	drvs, err := db.pairs(nil, keyDeriver, p)
	errs = append(errs, err)
	for _, drv := range drvs {
		if valid, err := db.validLocked(drv); err != nil || (!valid && !gone[drv]) {
			errs = append(errs, err, db.forgetDrv(b, drv))
		}
	}
	return errors.Join(errs...)
}

func (db *DB) forgetDrv(b *pebble.Batch, drv storepath.Path) error {
	if !drv.IsDerivation() {
		return nil
	}
	err := db.scan(pairPrefix(keyOutput, drv), func(k, v []byte) error {
		out, err := storepath.ParseBase(string(v))
		if err != nil {
			return corrupt(k, err)
		}
		return errors.Join(b.Delete(k, nil), b.Delete(pairKey(keyDeriver, out, drv.Base()), nil))
	})
	return errors.Join(err, b.Delete(pathKey(keyBuild, drv), nil))
}

// drop takes one path out of its registration.
func (o *overlay) drop(p storepath.Path) {
	at := o.infos[p]
	if at == nil {
		return
	}
	o.remove(at.unit)
	rest := &unit{at.unit.reg}
	rest.reg.Paths = slices.DeleteFunc(slices.Clone(rest.reg.Paths), func(i Info) bool { return i.Path == p })
	if len(rest.reg.Paths) > 0 {
		o.add(rest)
	}
}
