package validity

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// DrvOutput names an output by the hash of its derivation, up to how that one's
// fixed inputs are made: derivations that make the same have the same.
type DrvOutput struct {
	Hash   nixhash.Hash
	Output string
}

// String is "sha256:<base 16>!<output>".
func (o DrvOutput) String() string {
	return o.Hash.Algorithm().String() + ":" + o.Hash.Base16() + "!" + o.Output
}

// Realisation says where an output lies whose derivation does not tell.
type Realisation struct {
	ID         DrvOutput
	Path       storepath.Path
	Drv        storepath.Path // which derivation it was learnt of; zero where unknown
	Signatures []string       // "<key name>:<base64>"
}

// Realisation looks up where an output lies. The path is valid, provisionally or
// durably: a realisation goes with its path.
func (db *DB) Realisation(id DrvOutput) (Realisation, bool, error) {
	db.overlay.mu.RLock()
	at, ok := db.overlay.traces[id.String()]
	db.overlay.mu.RUnlock()
	if ok {
		return at.realisation, true, nil
	}
	return db.readRealisation(id)
}

// realisationLocked is Realisation under overlay.mu.
func (db *DB) realisationLocked(id DrvOutput) (Realisation, bool, error) {
	if at, ok := db.overlay.traces[id.String()]; ok {
		return at.realisation, true, nil
	}
	return db.readRealisation(id)
}

func (db *DB) readRealisation(id DrvOutput) (Realisation, bool, error) {
	r := Realisation{ID: id}
	found, err := db.read(key(keyTrace, id.String()), func(record []byte) error {
		return decodeRealisation(record, &r)
	})
	return r, found, err
}

// newRealisations are those that are not known yet, or have new signatures.
// Where an output is known to lie elsewhere, that stays. Each path must be valid,
// or among fresh.
func (db *DB) newRealisations(all []Realisation, fresh map[storepath.Path]bool) (out []Realisation, err error) {
	for _, r := range all {
		if r.ID.Hash.IsZero() || r.ID.Output == "" {
			return nil, fmt.Errorf("register realisation of %q: it does not say of what", r.Path.Base())
		}
		if valid, err := db.validLocked(r.Path); err != nil {
			return nil, err
		} else if !valid && !fresh[r.Path] {
			return nil, &NotValidError{r.Path}
		}
		old, known, err := db.realisationLocked(r.ID)
		if err != nil {
			return nil, err
		}
		r.Signatures = merged(old.Signatures, r.Signatures)
		switch {
		case !known:
			out = append(out, r)
		case old.Path != r.Path || len(r.Signatures) == len(old.Signatures):
		case !db.overlay.sign(r):
			r.Drv = old.Drv
			out = append(out, r)
		}
	}
	return out, nil
}

// merged are the signatures of both, sorted.
func merged(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// trace is one provisional realisation.
type trace struct {
	realisation Realisation
	unit        *unit
}

// sign gives a provisional realisation other signatures; it reports whether
// there is one.
func (o *overlay) sign(r Realisation) bool {
	at, ok := o.traces[r.ID.String()]
	if !ok {
		return false
	}
	list := slices.Clone(at.unit.reg.Realisations)
	for i := range list {
		if list[i].ID == r.ID {
			list[i].Signatures = r.Signatures
			at.realisation = list[i]
		}
	}
	at.unit.reg.Realisations = list
	o.traces[r.ID.String()] = at
	return true
}

func (o *overlay) addTraces(u *unit) {
	for _, r := range u.reg.Realisations {
		o.traces[r.ID.String()] = trace{r, u}
		o.realised.add(r.Path, u)
	}
}

func (o *overlay) removeTraces(u *unit) {
	for _, r := range u.reg.Realisations {
		delete(o.traces, r.ID.String())
		o.realised.remove(r.Path, u)
	}
}

// unrealise forgets what is provisionally realised by a path that goes.
func (o *overlay) unrealise(p storepath.Path) {
	for _, u := range slices.Clone(o.realised[p]) {
		o.removeTraces(u)
		u.reg.Realisations = slices.DeleteFunc(slices.Clone(u.reg.Realisations), func(r Realisation) bool { return r.Path == p })
		o.addTraces(u)
		if len(u.reg.Paths) == 0 && !o.awaits(u) { // nothing would ever commit it
			o.remove(u)
		}
	}
}

// awaits reports whether a path of the unit's is provisional: what is said of it
// must not be on disk before it is.
func (o *overlay) awaits(u *unit) bool {
	return slices.ContainsFunc(u.reg.Realisations, func(r Realisation) bool { return o.infos[r.Path] != nil })
}

func putRealisations(set func(k, v []byte), all []Realisation) {
	for _, r := range all {
		id := r.ID.String()
		set(key(keyTrace, id), appendRealisation(nil, r))
		set(pairKey(keyRealised, r.Path, id), nil)
	}
}

// forgetRealisations deletes what is durably realised by p.
func (f *forgetting) forgetRealisations(p storepath.Path) error {
	prefix := pairPrefix(keyRealised, p)
	return each(f.realised, prefix, func(k, _ []byte) error {
		if err := f.b.Delete(key(keyTrace, string(k[len(prefix):])), nil); err != nil {
			return err
		}
		return f.b.Delete(slices.Clone(k), nil)
	})
}

// realisedDrvs are the derivations of which p was learnt to be an output.
func (db *DB) realisedDrvs(p storepath.Path) (drvs []storepath.Path, err error) {
	all, err := db.Realisations(p)
	for _, r := range all {
		if !r.Drv.IsZero() {
			drvs = append(drvs, r.Drv)
		}
	}
	return drvs, err
}

// pendingTraces are the provisional realisations, as outputs of derivations;
// under overlay.mu.
func (o *overlay) pendingTraces() (told []output) {
	for _, at := range o.traces {
		if r := at.realisation; !r.Drv.IsZero() {
			told = append(told, output{r.Drv, r.Path})
		}
	}
	return told
}

// traces adds what is durably realised to a graph.
func (g *grapher) traces(records *pebble.Iterator) error {
	for ok := records.First(); ok; ok = records.Next() {
		var r Realisation
		if err := decodeRealisation(records.Value(), &r); err != nil {
			return corrupt(records.Key(), err)
		}
		if !r.Drv.IsZero() {
			g.output([]byte(r.Drv.Base()), []byte(r.Path.Base()))
		}
	}
	return records.Error()
}

// parseDrvOutput reads what [DrvOutput.String] writes.
func parseDrvOutput(s string) (o DrvOutput, err error) {
	hash, output, _ := strings.Cut(s, "!")
	o.Output = output
	o.Hash, err = nixhash.Parse(hash, 0)
	return o, err
}

// Realisations are those of a path, provisional and durable, in no order.
func (db *DB) Realisations(p storepath.Path) (all []Realisation, err error) {
	seen := map[string]bool{}
	add := func(r Realisation) {
		if id := r.ID.String(); !seen[id] {
			seen[id] = true
			all = append(all, r)
		}
	}
	db.overlay.mu.RLock()
	for _, u := range db.overlay.realised[p] {
		for _, r := range u.reg.Realisations {
			if r.Path == p {
				add(r)
			}
		}
	}
	db.overlay.mu.RUnlock()
	prefix := pairPrefix(keyRealised, p)
	err = db.scan(prefix, func(k, _ []byte) error {
		id, err := parseDrvOutput(string(k[len(prefix):]))
		if err != nil {
			return corrupt(k, err)
		}
		r, ok, err := db.readRealisation(id)
		if ok {
			add(r)
		}
		return err
	})
	return all, err
}
