package simulation

import (
	"math/rand/v2"
	"slices"

	"troupe/storage/storepath"
)

// disk is a store that loses what was not flushed when the service dies.
type disk struct {
	records  map[storepath.Path]*record
	contents map[storepath.Path]bool // what lies at a path; whether it was flushed
	failed   map[storepath.Path]bool
	traces   map[storepath.Path]storepath.Path // where outputs lie that have no path before, by [lockOf]
	leases   leases                            // temporary roots of the service
	rooted   map[storepath.Path]bool           // by clients, for good
	acked    map[storepath.Path]bool           // told to a client as valid, and rooted by it
	changes  int                               // of all but leases and traces
}

// record says that a path is valid.
type record struct {
	refs    []storepath.Path
	durable bool
}

// referredBy are the valid paths that some refer to, without these.
func (d *disk) referredBy(paths []storepath.Path) (refs []storepath.Path) {
	for _, p := range paths {
		if r := d.records[p]; r != nil {
			refs = append(refs, r.refs...)
		}
	}
	return slices.DeleteFunc(refs, func(p storepath.Path) bool { return slices.Contains(paths, p) })
}

func newDisk() *disk {
	return &disk{records: map[storepath.Path]*record{}, contents: map[storepath.Path]bool{}, failed: map[storepath.Path]bool{},
		traces: map[storepath.Path]storepath.Path{},
		leases: newLeases(), rooted: map[storepath.Path]bool{}, acked: map[storepath.Path]bool{}}
}

// stock makes paths valid from the start.
func (d *disk) stock(paths []storepath.Path) {
	d.changes++
	for _, s := range paths {
		d.contents[s], d.rooted[s] = true, true
		d.records[s] = &record{durable: true}
	}
}

// keep roots paths that a client was told of.
func (d *disk) keep(paths ...storepath.Path) {
	d.changes++
	for _, p := range paths {
		d.acked[p], d.rooted[p] = true, true
	}
}

func (d *disk) valid(p storepath.Path) bool { return d.records[p] != nil }

// lose makes a path that is valid go missing.
func (d *disk) lose(p storepath.Path) {
	d.changes++
	delete(d.records, p)
}

// referred reports whether a valid path refers to p.
func (d *disk) referred(p storepath.Path) bool {
	for _, r := range d.records {
		if slices.Contains(r.refs, p) {
			return true
		}
	}
	return false
}

// durable reports whether a path and its closure survive a crash.
func (d *disk) durable(p storepath.Path) bool { return d.whole(p, map[storepath.Path]bool{}) }

func (d *disk) whole(p storepath.Path, seen map[storepath.Path]bool) bool {
	if seen[p] {
		return true
	}
	seen[p] = true
	r := d.records[p]
	if r == nil || !r.durable || !d.contents[p] {
		return false
	}
	for _, ref := range r.refs {
		if !d.whole(ref, seen) {
			return false
		}
	}
	return true
}

// register makes paths valid provisionally.
func (d *disk) register(p storepath.Path, refs []storepath.Path) {
	d.changes++
	d.contents[p] = false
	d.records[p] = &record{refs: refs}
}

// pending are the provisional ones of paths and of all that these refer to.
func (d *disk) pending(paths []storepath.Path) (found []storepath.Path) {
	seen := map[storepath.Path]bool{}
	var visit func(p storepath.Path)
	visit = func(p storepath.Path) {
		r := d.records[p]
		if r == nil || r.durable || seen[p] {
			return
		}
		seen[p] = true
		found = append(found, p)
		for _, ref := range r.refs {
			visit(ref)
		}
	}
	for _, p := range paths {
		visit(p)
	}
	return found
}

// flush puts the contents of provisional paths on the platter, and commit their
// records.
func (d *disk) flush(paths []storepath.Path) {
	d.changes++
	for _, p := range paths {
		if _, there := d.contents[p]; there {
			d.contents[p] = true
		}
	}
}

func (d *disk) commit(paths []storepath.Path) {
	d.changes++
	for _, p := range paths {
		if r := d.records[p]; r != nil {
			r.durable = true
		}
	}
}

// crash loses what was not flushed. Contents may survive without their record,
// or in part.
func (d *disk) crash(rng *rand.Rand) {
	d.changes++
	for _, p := range d.sorted() {
		if r := d.records[p]; !r.durable {
			delete(d.records, p)
		}
	}
	d.forgetTraces()
	left := make([]storepath.Path, 0, len(d.contents))
	for p := range d.contents {
		left = append(left, p)
	}
	slices.SortFunc(left, storepath.Path.Compare)
	for _, p := range left {
		if !d.contents[p] && rng.IntN(2) == 0 {
			delete(d.contents, p)
		}
	}
	d.leases = newLeases()
}

func (d *disk) sorted() []storepath.Path {
	all := make([]storepath.Path, 0, len(d.records))
	for p := range d.records {
		all = append(all, p)
	}
	slices.SortFunc(all, storepath.Path.Compare)
	return all
}

// collect deletes the valid paths that no root leads to.
func (d *disk) collect() (n int) {
	d.changes++
	live := map[storepath.Path]bool{}
	var mark func(p storepath.Path)
	mark = func(p storepath.Path) {
		if live[p] {
			return
		}
		live[p] = true
		if r := d.records[p]; r != nil {
			for _, ref := range r.refs {
				mark(ref)
			}
		}
	}
	for p := range d.rooted {
		mark(p)
	}
	for _, paths := range d.leases.held {
		for _, p := range paths {
			mark(p)
		}
	}
	for _, p := range d.sorted() {
		if !live[p] {
			delete(d.records, p)
			delete(d.contents, p)
			n++
		}
	}
	d.forgetTraces()
	return n
}

// forgetTraces forgets where outputs lie whose path is not valid any more.
func (d *disk) forgetTraces() {
	for at, p := range d.traces {
		if !d.valid(p) {
			delete(d.traces, at)
		}
	}
}
