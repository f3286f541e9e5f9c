package validity

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/storepath"
)

// RegisterProvisional makes the registrations' paths valid inside this process.
// A path that is valid already keeps its record. All or none is registered: it
// is a [*MissingReferenceError] when a reference is neither valid nor registered
// here.
//
// A registration that makes no path valid (a failed build, or one run again)
// does not wait for a commit: it is written, not synced, at once.
func (db *DB) RegisterProvisional(regs ...Registration) error {
	db.overlay.mu.Lock()
	defer db.overlay.mu.Unlock()
	units, err := db.newUnits(regs)
	if err != nil {
		return err
	}
	for _, u := range units {
		if len(u.reg.Paths) > 0 || db.overlay.awaits(u) {
			db.overlay.add(u)
		} else if err := db.writeLoose(u); err != nil {
			return err
		}
	}
	return nil
}

// newUnits takes what is new out of the registrations; under overlay.mu.
func (db *DB) newUnits(regs []Registration) ([]*unit, error) {
	units := make([]*unit, 0, len(regs))
	fresh := map[storepath.Path]bool{}
	for _, reg := range regs {
		if reg.Drv.IsZero() && (reg.Build != nil || len(reg.Outputs) > 0) {
			return nil, errors.New("register build: its derivation is not named")
		}
		u := &unit{reg}
		u.reg.Paths, u.reg.Realisations = nil, nil
		for _, i := range reg.Paths {
			if err := checkInfo(i); err != nil {
				return nil, err
			}
			valid, err := db.validLocked(i.Path)
			if err != nil {
				return nil, err
			}
			if !valid && !fresh[i.Path] {
				fresh[i.Path] = true
				u.reg.Paths = append(u.reg.Paths, normal(i))
			}
		}
		units = append(units, u)
	}
	for n, u := range units {
		var err error
		if u.reg.Realisations, err = db.newRealisations(regs[n].Realisations, fresh); err != nil {
			return nil, err
		}
	}
	return units, db.checkReferences(units, fresh)
}

func checkInfo(i Info) error {
	if i.Path.IsZero() {
		return errors.New("register path: it has no name")
	}
	if i.NarHash.IsZero() {
		return fmt.Errorf("register %q: it has no hash", i.Path.Base())
	}
	return nil
}

// normal is i with its own slices, references sorted and without repeats.
func normal(i Info) Info {
	i.References = slices.Clone(i.References)
	slices.SortFunc(i.References, storepath.Path.Compare)
	i.References = slices.Compact(i.References)
	i.Signatures = slices.Clone(i.Signatures)
	return i
}

func (db *DB) checkReferences(units []*unit, fresh map[storepath.Path]bool) error {
	for _, u := range units {
		for _, i := range u.reg.Paths {
			for _, r := range i.References {
				if fresh[r] {
					continue
				}
				if valid, err := db.validLocked(r); err != nil {
					return err
				} else if !valid {
					return &MissingReferenceError{i.Path, r}
				}
			}
		}
	}
	return nil
}

func (db *DB) writeLoose(u *unit) error {
	b := db.pebble.NewBatch()
	defer b.Close()
	if err := putUnit(b, u); err != nil {
		return err
	}
	if b.Empty() {
		return nil
	}
	return db.apply(b, pebble.NoSync)
}

// Discard withdraws provisional paths, with all that was registered along with
// them. What is durable or unknown is left alone. It is a [*ReferrersError]
// when a path that stays refers to one that would go.
func (db *DB) Discard(paths ...storepath.Path) error {
	db.writing.Lock() // no commit of them is under way
	defer db.writing.Unlock()
	db.overlay.mu.Lock()
	defer db.overlay.mu.Unlock()
	gone := map[*unit]struct{}{}
	for _, p := range paths {
		if at := db.overlay.infos[p]; at != nil {
			gone[at.unit] = struct{}{}
		}
	}
	for u := range gone {
		for _, i := range u.reg.Paths {
			for r := range db.overlay.referrers[i.Path] {
				if _, goes := gone[db.overlay.infos[r].unit]; !goes {
					return &ReferrersError{i.Path, []storepath.Path{r}}
				}
			}
		}
	}
	for u := range gone {
		db.overlay.remove(u)
		for _, i := range u.reg.Paths {
			db.overlay.unrealise(i.Path)
		}
	}
	return nil
}

// putUnit adds all the unit's records to a batch.
func putUnit(b *pebble.Batch, u *unit) error {
	var errs []error
	set := func(k, v []byte) { errs = append(errs, b.Set(k, v, nil)) }
	for _, i := range u.reg.Paths {
		set(pathKey(keyInfo, i.Path), appendInfo(nil, i))
		for _, r := range i.References {
			set(pairKey(keyReferrer, r, i.Path.Base()), nil)
		}
		errs = append(errs, b.Delete(pathKey(keyFailure, i.Path), nil))
	}
	for name, p := range u.reg.Outputs {
		set(pairKey(keyOutput, u.reg.Drv, name), []byte(p.Base()))
		set(pairKey(keyDeriver, p, u.reg.Drv.Base()), nil)
	}
	putRealisations(set, u.reg.Realisations)
	if u.reg.Build != nil {
		record := appendBuild(nil, *u.reg.Build)
		set(pathKey(keyBuild, u.reg.Drv), record)
		if u.reg.succeeded() {
			set(key(keyNamed, drvName(u.reg.Drv)), record)
		}
	}
	return errors.Join(errs...)
}
