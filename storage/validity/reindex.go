package validity

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/storepath"
)

// Indexed says whether heads, knots and what was made by a derivation are known of all
// paths. They are not in a database that an earlier program has filled.
func (db *DB) Indexed() bool { return db.indexed.Load() }

// indexChunk is how many paths are looked at while nobody else writes.
const indexChunk = 500

// Index makes the indexes of a database that has none; of a million paths it takes some
// seconds, once. Commits wait for no more than a part of it. One that is interrupted is
// begun anew by the next call. It is an [ErrDiskFull] where there is no space.
func (db *DB) Index(ctx context.Context) error {
	if db.Indexed() {
		return nil
	}
	err := db.alone(func(b *pebble.Batch) error { // what a program that knows nothing of them has left wrong
		var errs []error
		for _, kind := range []byte{keyHead, keyKnot, keyMade} {
			errs = append(errs, b.DeleteRange([]byte{kind}, after([]byte{kind}), nil))
		}
		return errors.Join(errs...)
	})
	for from := []byte{keyInfo}; err == nil && from != nil; {
		if err = ctx.Err(); err == nil {
			err = db.alone(func(b *pebble.Batch) (err error) { from, err = db.indexFrom(b, from); return err })
		}
	}
	if err == nil {
		err = db.indexKnots() // all that was made is known by now, so that what comes late is found from here on
	}
	if err == nil {
		err = db.alone(func(b *pebble.Batch) error { return b.Set(formatKey, binary.AppendUvarint(nil, formatVersion), nil) })
	}
	if err == nil {
		db.indexed.Store(true)
	}
	return err
}

// alone writes a batch that is made while nobody else writes.
func (db *DB) alone(fill func(*pebble.Batch) error) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	b := db.pebble.NewBatch()
	defer b.Close()
	if err := fill(b); err != nil {
		return err
	}
	return db.write(b)
}

// indexFrom adds to a batch what the indexes have of the next paths, and returns where
// to go on; nil at the end.
func (db *DB) indexFrom(b *pebble.Batch, from []byte) (next []byte, err error) {
	records, err := db.iterate([]byte{keyInfo})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, records.Close()) }()
	referrers, err := db.iterate([]byte{keyReferrer})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, referrers.Close()) }()
	ok := records.SeekGE(from)
	for n := 0; ok && n < indexChunk; n++ {
		p, err := pairPath(records.Key(), []byte{keyInfo})
		if err == nil {
			err = indexPath(b, p, records.Value(), referrers)
		}
		if err != nil {
			return nil, err
		}
		ok = records.Next()
	}
	if !ok {
		return nil, records.Error()
	}
	return append([]byte{}, records.Key()...), nil
}

func indexPath(b *pebble.Batch, p storepath.Path, record []byte, referrers *pebble.Iterator) error {
	i, err := decodeInfo(p, record)
	if err != nil {
		return corrupt(pathKey(keyInfo, p), err)
	}
	referred, err := hasReferrer(referrers, p)
	if err == nil && !referred {
		err = b.Set(pathKey(keyHead, p), nil, nil)
	}
	return errors.Join(err, putMade(b, i))
}

// indexKnots finds the cycles that there are.
func (db *DB) indexKnots() error {
	g, err := db.Graph()
	if err != nil {
		return err
	}
	groups := Groups(len(g.Nodes), func(int32) bool { return true }, func(at int32, n int) (int32, bool) {
		switch refs := g.Nodes[at].References; {
		case n < len(refs):
			return refs[n], true
		case n == len(refs) && g.Nodes[at].Deriver >= 0:
			return g.Nodes[at].Deriver, true
		}
		return 0, false
	})
	return db.alone(func(b *pebble.Batch) error {
		return putKnots(b, groups, func(at int32) storepath.Path { return g.Nodes[at].Path })
	})
}
