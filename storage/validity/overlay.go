package validity

import (
	"slices"
	"sync"

	"troupe/storage/storepath"
)

// overlay has the provisional records, indexed as the durable ones are.
type overlay struct {
	mu        sync.RWMutex
	infos     map[storepath.Path]*pending
	hashes    map[string]storepath.Path // by hash part
	referrers pairs
	producers index[storepath.Path] // by output path
	drvs      index[storepath.Path] // by derivation
	named     index[string]         // by derivation name, successful builds only
	traces    map[string]trace      // by DrvOutput
	realised  index[storepath.Path] // by realised path
}

// pending is one provisional path.
type pending struct {
	info Info
	unit *unit
}

// unit is one registration with only those paths that were not valid before.
// It is written as a whole.
type unit struct{ reg Registration }

type pairs map[storepath.Path]map[storepath.Path]struct{}

func (p pairs) add(a, b storepath.Path) {
	if p[a] == nil {
		p[a] = map[storepath.Path]struct{}{}
	}
	p[a][b] = struct{}{}
}

func (p pairs) remove(a, b storepath.Path) {
	delete(p[a], b)
	if len(p[a]) == 0 {
		delete(p, a)
	}
}

// index has units in order of registration.
type index[K comparable] map[K][]*unit

func (x index[K]) add(k K, u *unit) { x[k] = append(x[k], u) }

func (x index[K]) remove(k K, u *unit) {
	x[k] = slices.DeleteFunc(x[k], func(o *unit) bool { return o == u })
	if len(x[k]) == 0 {
		delete(x, k)
	}
}

func newOverlay() overlay {
	return overlay{
		infos:     map[storepath.Path]*pending{},
		hashes:    map[string]storepath.Path{},
		referrers: pairs{},
		producers: index[storepath.Path]{},
		drvs:      index[storepath.Path]{},
		named:     index[string]{},
		traces:    map[string]trace{},
		realised:  index[storepath.Path]{},
	}
}

func (o *overlay) add(u *unit) {
	for _, i := range u.reg.Paths {
		o.infos[i.Path] = &pending{i, u}
		o.hashes[i.Path.HashPart()] = i.Path
		for _, r := range i.References {
			o.referrers.add(r, i.Path)
		}
	}
	o.addTraces(u)
	u.eachIndex(o, index[storepath.Path].add, index[string].add)
}

func (o *overlay) remove(u *unit) {
	for _, i := range u.reg.Paths {
		delete(o.infos, i.Path)
		delete(o.hashes, i.Path.HashPart())
		for _, r := range i.References {
			o.referrers.remove(r, i.Path)
		}
	}
	o.removeTraces(u)
	u.eachIndex(o, index[storepath.Path].remove, index[string].remove)
}

// eachIndex adds the unit to, or removes it from, what is looked up by
// derivation.
func (u *unit) eachIndex(o *overlay, path func(index[storepath.Path], storepath.Path, *unit), name func(index[string], string, *unit)) {
	if u.reg.Drv.IsZero() {
		return
	}
	path(o.drvs, u.reg.Drv, u)
	for _, p := range u.reg.Outputs {
		path(o.producers, p, u)
	}
	if u.reg.succeeded() {
		name(o.named, drvName(u.reg.Drv), u)
	}
}

// units are those that a commit of p writes: p's own, all that its paths refer
// to, provisionally, and what these realise. They are added to set.
func (o *overlay) units(p storepath.Path, set map[*unit]struct{}) {
	todo := []storepath.Path{p}
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		at := o.infos[p]
		if at == nil {
			continue
		}
		for _, u := range append([]*unit{at.unit}, o.realised[p]...) {
			if _, seen := set[u]; seen {
				continue
			}
			set[u] = struct{}{}
			todo = u.rests(todo)
		}
	}
}

// rests adds what must be on disk along with a unit.
func (u *unit) rests(on []storepath.Path) []storepath.Path {
	for _, i := range u.reg.Paths {
		on = append(on, i.Path)
		on = append(on, i.References...)
	}
	for _, r := range u.reg.Realisations {
		on = append(on, r.Path)
	}
	return on
}
