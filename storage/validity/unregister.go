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
	f := &forgetting{db: db, b: b, gone: map[storepath.Path]bool{}, left: map[storepath.Path]struct{}{}}
	if err := errors.Join(f.forgetAll(paths), f.close()); err != nil {
		return false, err
	}
	if !b.Empty() {
		err := db.applyNoWait(b)
		db.known.forget(paths...)
		if err != nil {
			return false, err
		}
	}
	db.asked.forgotten.Add(1)
	for p := range f.gone {
		db.overlay.unrealise(p)
		db.overlay.drop(p)
	}
	return !b.Empty(), nil
}

// forgetting looks up what has to go along with some hundred paths. Each kind
// of record has one iterator for all of them, asked in the order of the names:
// to make an iterator costs more than to move one.
type forgetting struct {
	db   *DB
	b    *pebble.Batch
	gone map[storepath.Path]bool
	left map[storepath.Path]struct{} // what they refer to

	records, referrers, derivers, outputs, realised *pebble.Iterator
}

func (f *forgetting) close() (err error) {
	for _, iter := range []*pebble.Iterator{f.records, f.referrers, f.derivers, f.outputs, f.realised} {
		if iter != nil {
			err = errors.Join(err, iter.Close())
		}
	}
	return err
}

func (f *forgetting) forgetAll(paths []storepath.Path) (err error) {
	for _, k := range []struct {
		kind byte
		iter **pebble.Iterator
	}{{keyInfo, &f.records}, {keyReferrer, &f.referrers}, {keyDeriver, &f.derivers}, {keyOutput, &f.outputs}, {keyRealised, &f.realised}} {
		if *k.iter, err = f.db.iterate([]byte{k.kind}); err != nil {
			return err
		}
	}
	for _, p := range paths {
		f.gone[p] = true
	}
	inOrder := sorted(slices.Clone(paths))
	for _, p := range inOrder {
		if err := f.checkUnused(p); err != nil {
			return err
		}
	}
	for _, p := range inOrder {
		if f.db.overlay.infos[p] == nil {
			if err := f.forget(p); err != nil {
				return err
			}
		}
	}
	return f.putHeads()
}

// putHeads makes heads of what is left, perhaps: a collection looks who else refers to
// it.
func (f *forgetting) putHeads() error {
	for p := range f.left {
		if f.gone[p] {
			continue
		}
		if err := f.b.Set(pathKey(keyHead, p), nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// each calls do for each of iter's records whose key begins with prefix. The limit keeps
// it from going on, over all that was deleted behind them, to the next record that there
// is.
func each(iter *pebble.Iterator, prefix []byte, do func(k, v []byte) error) error {
	limit := after(prefix)
	for at := iter.SeekGEWithLimit(prefix, limit); at == pebble.IterValid; at = iter.NextWithLimit(limit) {
		if err := do(iter.Key(), iter.Value()); err != nil {
			return err
		}
	}
	if err := iter.Error(); err != nil {
		return corruption(prefix, err)
	}
	return nil
}

func (f *forgetting) checkUnused(p storepath.Path) error {
	var stay []storepath.Path
	note := func(r storepath.Path) {
		if !f.gone[r] {
			stay = append(stay, r)
		}
	}
	for r := range f.db.overlay.referrers[p] {
		note(r)
	}
	prefix := pairPrefix(keyReferrer, p)
	err := each(f.referrers, prefix, func(k, _ []byte) error {
		r, err := pairPath(k, prefix)
		note(r)
		return err
	})
	if err == nil && len(stay) > 0 {
		err = &ReferrersError{p, sorted(stay)}
	}
	return err
}

// forget deletes what is durable of p. What is known of a derivation that is
// not valid itself goes with the first of its outputs.
func (f *forgetting) forget(p storepath.Path) error {
	k := pathKey(keyInfo, p)
	var errs []error
	found, err := at(f.records, k, func(record []byte) error {
		i, err := decodeInfo(p, record)
		for _, r := range i.References {
			errs = append(errs, f.b.Delete(pairKey(keyReferrer, r, p.Base()), nil))
			f.left[r] = struct{}{}
		}
		if !i.Deriver.IsZero() {
			errs = append(errs, f.b.Delete(pairKey(keyMade, i.Deriver, p.Base()), nil))
		}
		return err
	})
	if err != nil || !found {
		return err
	}
	errs = append(errs, f.b.Delete(k, nil), f.b.Delete(pathKey(keyHead, p), nil), f.forgetDrv(p), f.forgetRealisations(p))
	prefix := pairPrefix(keyDeriver, p)
	errs = append(errs, each(f.derivers, prefix, func(k, _ []byte) error {
		drv, err := pairPath(k, prefix)
		if err != nil {
			return err
		}
		valid, err := f.db.validLocked(drv)
		if err == nil && !valid && !f.gone[drv] {
			err = f.forgetDrv(drv)
		}
		return err
	}))
	return errors.Join(errs...)
}

func (f *forgetting) forgetDrv(drv storepath.Path) error {
	if !drv.IsDerivation() {
		return nil
	}
	err := each(f.outputs, pairPrefix(keyOutput, drv), func(k, v []byte) error {
		out, err := storepath.ParseBase(string(v))
		if err != nil {
			return corrupt(k, err)
		}
		return errors.Join(f.b.Delete(k, nil), f.b.Delete(pairKey(keyDeriver, out, drv.Base()), nil))
	})
	return errors.Join(err, f.b.Delete(pathKey(keyBuild, drv), nil))
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
	if len(rest.reg.Paths) > 0 || o.awaits(rest) {
		o.add(rest)
	}
}
