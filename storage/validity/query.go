package validity

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/storepath"
)

// Get returns the record of a path, provisional or durable, and whether there
// is one.
func (db *DB) Get(p storepath.Path) (Info, bool, error) {
	if at, ok := db.provisional(p); ok {
		return at.info, true, nil
	}
	var i Info
	found, err := db.read(pathKey(keyInfo, p), func(record []byte) (err error) {
		i, err = decodeInfo(p, record)
		return err
	})
	return i, found, err
}

// Valid says whether a path is valid, provisionally or durably.
func (db *DB) Valid(p storepath.Path) (bool, error) {
	if _, ok := db.provisional(p); ok {
		return true, nil
	}
	return db.read(pathKey(keyInfo, p), nil)
}

// Durable says whether a path is valid and its record is on disk.
func (db *DB) Durable(p storepath.Path) (bool, error) {
	if _, ok := db.provisional(p); ok {
		return false, nil // perhaps in Pebble by now, but not known to be synced
	}
	return db.read(pathKey(keyInfo, p), nil)
}

func (db *DB) provisional(p storepath.Path) (*pending, bool) {
	db.overlay.mu.RLock()
	defer db.overlay.mu.RUnlock()
	at, ok := db.overlay.infos[p]
	return at, ok
}

// validLocked is Valid under overlay.mu.
func (db *DB) validLocked(p storepath.Path) (bool, error) {
	if db.overlay.infos[p] != nil {
		return true, nil
	}
	return db.read(pathKey(keyInfo, p), nil)
}

// read hands the record at k to decode, which may be nil and must not keep it.
func (db *DB) read(k []byte, decode func([]byte) error) (bool, error) {
	db.asked.gets.Add(1)
	record, closer, err := db.pebble.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, corruption(k, err)
	}
	if decode != nil {
		if err = decode(record); err != nil {
			err = corrupt(k, err)
		}
	}
	if err := errors.Join(err, closer.Close()); err != nil {
		return false, err
	}
	return true, nil
}

// at is [DB.read] by an iterator, which costs less for keys in their order.
func at(iter *pebble.Iterator, k []byte, decode func([]byte) error) (bool, error) {
	if iter.SeekGEWithLimit(k, append(k[:len(k):len(k)], 0)) != pebble.IterValid {
		if err := iter.Error(); err != nil {
			return false, corruption(k, err)
		}
		return false, nil
	}
	if err := decode(iter.Value()); err != nil {
		return false, corrupt(k, err)
	}
	return true, nil
}

// corruption names the key where Pebble found its own files corrupt.
func corruption(k []byte, err error) error {
	if pebble.IsCorruptionError(err) {
		return corrupt(k, err)
	}
	return fmt.Errorf("read record %q: %w", k, err)
}

// References are the paths that p refers to, sorted. It is a [*NotValidError]
// when p is not valid.
func (db *DB) References(p storepath.Path) ([]storepath.Path, error) {
	i, ok, err := db.Get(p)
	if err == nil && !ok {
		err = &NotValidError{p}
	}
	return i.References, err
}

// Referrers are the valid paths that refer to p, sorted.
func (db *DB) Referrers(p storepath.Path) ([]storepath.Path, error) {
	var out []storepath.Path
	db.overlay.mu.RLock()
	for r := range db.overlay.referrers[p] {
		out = append(out, r)
	}
	db.overlay.mu.RUnlock()
	out, err := db.pairs(out, keyReferrer, p)
	return sorted(out), err
}

// Derivers are the valid derivations that have p as an output, sorted, or once
// made it where their outputs' paths are not known before.
func (db *DB) Derivers(p storepath.Path) ([]storepath.Path, error) {
	var all []storepath.Path
	db.overlay.mu.RLock()
	for _, u := range db.overlay.producers[p] {
		all = append(all, u.reg.Drv)
	}
	db.overlay.mu.RUnlock()
	all, err := db.pairs(all, keyDeriver, p)
	if err != nil {
		return nil, err
	}
	realised, err := db.realisedDrvs(p)
	if err != nil {
		return nil, err
	}
	all = append(all, realised...)
	var out []storepath.Path
	for _, drv := range all {
		valid, err := db.Valid(drv)
		if err != nil {
			return nil, err
		}
		if valid {
			out = append(out, drv)
		}
	}
	return sorted(out), nil
}

func sorted(paths []storepath.Path) []storepath.Path {
	slices.SortFunc(paths, storepath.Path.Compare)
	return slices.Compact(paths)
}

// pairs adds to out the second halves of p's pairs.
func (db *DB) pairs(out []storepath.Path, kind byte, p storepath.Path) ([]storepath.Path, error) {
	prefix := pairPrefix(kind, p)
	err := db.scan(prefix, func(k, _ []byte) error {
		second, err := pairPath(k, prefix)
		out = append(out, second)
		return err
	})
	return out, err
}

// scan calls f for each record whose key begins with prefix, in order, until it
// fails; key and value are valid during the call.
func (db *DB) scan(prefix []byte, f func(k, v []byte) error) error {
	iter, err := db.iterate(prefix)
	if err != nil {
		return err
	}
	for iter.First(); iter.Valid() && err == nil; iter.Next() {
		err = f(iter.Key(), iter.Value())
	}
	if ierr := iter.Error(); ierr != nil {
		err = errors.Join(err, corruption(prefix, ierr))
	}
	return errors.Join(err, iter.Close())
}

func (db *DB) iterate(prefix []byte) (*pebble.Iterator, error) {
	db.asked.scans.Add(1)
	iter, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return nil, corruption(prefix, err)
	}
	return iter, nil
}

// Outputs are the outputs of a derivation by name, as far as they have been
// told; empty where nothing is known.
func (db *DB) Outputs(drv storepath.Path) (map[string]storepath.Path, error) {
	told := map[string]storepath.Path{}
	db.overlay.mu.RLock()
	for _, u := range db.overlay.drvs[drv] {
		for name, p := range u.reg.Outputs {
			told[name] = p
		}
	}
	db.overlay.mu.RUnlock()
	prefix := pairPrefix(keyOutput, drv)
	err := db.scan(prefix, func(k, v []byte) error {
		name := string(k[len(prefix):])
		p, err := storepath.ParseBase(string(v))
		if err != nil {
			return corrupt(k, err)
		}
		if _, later := told[name]; !later {
			told[name] = p
		}
		return nil
	})
	return told, err
}

// PathFromHashPart finds the valid path whose base name begins with the 32
// characters.
func (db *DB) PathFromHashPart(hash string) (storepath.Path, bool, error) {
	db.overlay.mu.RLock()
	p, ok := db.overlay.hashes[hash]
	db.overlay.mu.RUnlock()
	if ok {
		return p, true, nil
	}
	prefix := key(keyInfo, hash+"-")
	iter, err := db.iterate(prefix)
	if err != nil {
		return p, false, err
	}
	if iter.First() {
		p, err = storepath.ParseBase(string(iter.Key()[1:]))
		if err != nil {
			err = corrupt(iter.Key(), err)
		}
	}
	err = errors.Join(err, iter.Error(), iter.Close())
	return p, err == nil && !p.IsZero(), err
}
