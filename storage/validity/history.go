package validity

import (
	"errors"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/storepath"
)

// LastBuild is the last run of a derivation's builder, successful or not.
func (db *DB) LastBuild(drv storepath.Path) (Build, bool, error) {
	db.overlay.mu.RLock()
	b, ok := lastBuild(db.overlay.drvs[drv])
	db.overlay.mu.RUnlock()
	if ok {
		return b, true, nil
	}
	return db.readBuild(pathKey(keyBuild, drv))
}

// LastNamed is the last successful build of any derivation with this name
// (without ".drv"): what to expect where the hash is new.
func (db *DB) LastNamed(name string) (Build, bool, error) {
	db.overlay.mu.RLock()
	b, ok := lastBuild(db.overlay.named[name])
	db.overlay.mu.RUnlock()
	if ok {
		return b, true, nil
	}
	return db.readBuild(key(keyNamed, name))
}

// LastDuration is the time of [DB.LastNamed], 0 where nothing is known.
func (db *DB) LastDuration(name string) (time.Duration, error) {
	b, _, err := db.LastNamed(name)
	return b.Duration(), err
}

func lastBuild(units []*unit) (Build, bool) {
	for n := len(units) - 1; n >= 0; n-- {
		if b := units[n].reg.Build; b != nil {
			return *b, true
		}
	}
	return Build{}, false
}

func (db *DB) readBuild(k []byte) (Build, bool, error) {
	var b Build
	found, err := db.read(k, func(record []byte) (err error) {
		b, err = decodeBuild(record)
		return err
	})
	return b, found, err
}

// RegisterFailed notes that paths could not be built. It is written at once and
// synced with the next commit: a failure lost in a crash is met again.
func (db *DB) RegisterFailed(f Failure, paths ...storepath.Path) error {
	b := db.pebble.NewBatch()
	defer b.Close()
	record := appendFailure(nil, f)
	for _, p := range paths {
		if err := b.Set(pathKey(keyFailure, p), record, nil); err != nil {
			return err
		}
	}
	return db.apply(b, pebble.NoSync)
}

// HasFailed looks a path up in the failure cache.
func (db *DB) HasFailed(p storepath.Path) (Failure, bool, error) {
	var f Failure
	found, err := db.read(pathKey(keyFailure, p), func(record []byte) (err error) {
		f, err = decodeFailure(record)
		return err
	})
	return f, found, err
}

// Failed yields the failure cache, in the order of the names. An error ends it.
func (db *DB) Failed() iter.Seq2[storepath.Path, error] {
	return func(yield func(storepath.Path, error) bool) {
		prefix := []byte{keyFailure}
		err := db.scan(prefix, func(k, _ []byte) error {
			p, err := pairPath(k, prefix)
			if err == nil && !yield(p, nil) {
				err = errStopped
			}
			return err
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(storepath.Path{}, err)
		}
	}
}

// ClearFailed takes paths out of the failure cache.
func (db *DB) ClearFailed(paths ...storepath.Path) error {
	b := db.pebble.NewBatch()
	defer b.Close()
	for _, p := range paths {
		if err := b.Delete(pathKey(keyFailure, p), nil); err != nil {
			return err
		}
	}
	return db.apply(b, pebble.NoSync)
}
