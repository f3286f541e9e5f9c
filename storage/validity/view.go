package validity

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/storepath"
)

// View is what was valid at one moment, for whoever looks at a small part of it. It is
// one goroutine's, and is to be closed soon: while it is there the database deletes no
// file of its own.
type View struct {
	Provisional []Info // what the rest does not have

	db   *DB
	snap *pebble.Snapshot

	records, referrers, made *pebble.Iterator
}

// View looks at the database as it is now.
func (db *DB) View() (*View, error) {
	v := &View{db: db}
	db.overlay.mu.RLock()
	v.snap = db.pebble.NewSnapshot()
	for _, at := range db.overlay.infos {
		v.Provisional = append(v.Provisional, at.info)
	}
	db.overlay.mu.RUnlock()
	var err error
	for _, k := range []struct {
		kind byte
		iter **pebble.Iterator
	}{{keyInfo, &v.records}, {keyReferrer, &v.referrers}, {keyMade, &v.made}} {
		if err == nil {
			*k.iter, err = v.iterate(k.kind)
		}
	}
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// Close ends it.
func (v *View) Close() (err error) {
	for _, iter := range []*pebble.Iterator{v.records, v.referrers, v.made} {
		if iter != nil {
			err = errors.Join(err, iter.Close())
		}
	}
	return errors.Join(err, v.snap.Close())
}

func (v *View) iterate(kind byte) (*pebble.Iterator, error) {
	v.db.asked.scans.Add(1)
	iter, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: after([]byte{kind})})
	if err != nil {
		return nil, corruption([]byte{kind}, err)
	}
	return iter, nil
}

// Heads are at least the durable paths that no other durable path refers to.
func (v *View) Heads() ([]storepath.Path, error) { return v.all(keyHead) }

// Knots are at least one path of each cycle of references and derivers among the durable
// paths.
func (v *View) Knots() ([]storepath.Path, error) { return v.all(keyKnot) }

func (v *View) all(kind byte) (all []storepath.Path, err error) {
	iter, err := v.iterate(kind)
	if err != nil {
		return nil, err
	}
	for ok := iter.First(); ok && err == nil; ok = iter.Next() {
		var p storepath.Path
		p, err = pairPath(iter.Key(), []byte{kind})
		all = append(all, p)
	}
	v.db.asked.viewed.Add(int64(len(all)))
	return all, errors.Join(err, iter.Error(), iter.Close())
}

// Get is the record of a durable path, and whether it is one.
func (v *View) Get(p storepath.Path) (i Info, found bool, err error) {
	v.db.asked.viewed.Add(1)
	found, err = at(v.records, pathKey(keyInfo, p), func(record []byte) (err error) {
		i, err = decodeInfo(p, record)
		return err
	})
	return i, found, err
}

// ReferrerAfter is the next of the durable paths that refer to one, in the order of
// their names, or the first.
func (v *View) ReferrerAfter(p, last storepath.Path) (next storepath.Path, found bool, err error) {
	v.db.asked.viewed.Add(1)
	return pairAfter(v.referrers, keyReferrer, p, last)
}

// MadeAfter is the next of the durable paths that name a derivation as their deriver, or
// the first.
func (v *View) MadeAfter(drv, last storepath.Path) (next storepath.Path, found bool, err error) {
	if !drv.IsDerivation() {
		return next, false, nil
	}
	v.db.asked.viewed.Add(1)
	return pairAfter(v.made, keyMade, drv, last)
}

// Tidy takes those of the paths out of the heads and knots that are not valid, or that
// others refer to and are no heads for that.
func (db *DB) Tidy(paths []storepath.Path) error {
	for chunk := range slices.Chunk(paths, indexChunk) {
		if err := db.tidy(chunk); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) tidy(paths []storepath.Path) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	referrers, err := db.iterate([]byte{keyReferrer})
	if err != nil {
		return err
	}
	b := db.pebble.NewBatch()
	defer b.Close()
	for _, p := range paths {
		var durable, referred bool
		if durable, err = db.read(pathKey(keyInfo, p), nil); err == nil && durable {
			referred, err = hasReferrer(referrers, p)
		}
		if err == nil && (!durable || referred) {
			err = b.Delete(pathKey(keyHead, p), nil)
		}
		if err == nil && !durable {
			err = b.Delete(pathKey(keyKnot, p), nil)
		}
		if err != nil {
			return errors.Join(err, referrers.Close())
		}
	}
	if err := referrers.Close(); err != nil || b.Empty() {
		return err
	}
	return db.apply(b, pebble.NoSync)
}

// hasReferrer says whether another path refers to one.
func hasReferrer(referrers *pebble.Iterator, p storepath.Path) (bool, error) {
	by, found, err := pairAfter(referrers, keyReferrer, p, storepath.Path{})
	if found && by == p {
		_, found, err = pairAfter(referrers, keyReferrer, p, p)
	}
	return found, err
}
