package validity

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/storepath"
)

// AddSignatures adds those signatures to a path's record that it does not have
// yet. A durable record is synced; a provisional one keeps them for its commit.
func (db *DB) AddSignatures(p storepath.Path, signatures ...string) error {
	return db.change(p, func(i Info) Info {
		i.Signatures = slices.Clone(i.Signatures)
		for _, s := range signatures {
			if !slices.Contains(i.Signatures, s) {
				i.Signatures = append(i.Signatures, s)
			}
		}
		return i
	})
}

// SetUltimate says whether a path was made here.
func (db *DB) SetUltimate(p storepath.Path, ultimate bool) error {
	return db.change(p, func(i Info) Info {
		i.Ultimate = ultimate
		return i
	})
}

// Replace writes the record of a path that is valid, for one that was repaired
// or registered anew. Its references must be valid, and durable where the path
// is: else it is a [*MissingReferenceError].
func (db *DB) Replace(i Info) error {
	if err := checkInfo(i); err != nil {
		return err
	}
	db.writing.Lock()
	defer db.writing.Unlock()
	stage := db.Valid
	if durable, err := db.Durable(i.Path); err != nil {
		return err
	} else if durable {
		stage = db.Durable
	}
	for _, r := range i.References {
		if there, err := stage(r); err != nil {
			return err
		} else if !there && r != i.Path {
			return &MissingReferenceError{i.Path, r}
		}
	}
	return db.changeLocked(i.Path, func(Info) Info { return normal(i) })
}

func (db *DB) change(p storepath.Path, f func(Info) Info) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	return db.changeLocked(p, f)
}

func (db *DB) changeLocked(p storepath.Path, f func(Info) Info) error {
	if db.changeProvisional(p, f) {
		return nil
	}
	old, ok, err := db.Get(p)
	if err != nil {
		return err
	}
	if !ok {
		return &NotValidError{p}
	}
	b := db.pebble.NewBatch()
	defer b.Close()
	if err := putChange(b, old, f(old)); err != nil {
		return err
	}
	defer db.known.forget(p)
	return db.write(b)
}

func (db *DB) changeProvisional(p storepath.Path, f func(Info) Info) bool {
	db.overlay.mu.Lock()
	defer db.overlay.mu.Unlock()
	at := db.overlay.infos[p]
	if at == nil {
		return false
	}
	db.overlay.remove(at.unit)
	u := &unit{at.unit.reg}
	u.reg.Paths = slices.Clone(u.reg.Paths)
	for n, i := range u.reg.Paths {
		if i.Path == p {
			u.reg.Paths[n] = f(i)
		}
	}
	db.overlay.add(u)
	return true
}

func putChange(b *pebble.Batch, old, now Info) error {
	errs := []error{b.Set(pathKey(keyInfo, now.Path), appendInfo(nil, now), nil)}
	for _, r := range old.References {
		errs = append(errs, b.Delete(pairKey(keyReferrer, r, now.Path.Base()), nil))
	}
	for _, r := range now.References {
		errs = append(errs, b.Set(pairKey(keyReferrer, r, now.Path.Base()), nil, nil))
	}
	return errors.Join(append(errs, putNeeds(b, old, now))...)
}
