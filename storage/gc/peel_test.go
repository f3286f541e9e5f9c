package gc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// records is a database without a store, which is changed at random.
type records struct {
	t   *testing.T
	rng *rand.Rand
	c   *Collector
}

func newRecords(t *testing.T, seed uint64) *records {
	db, err := validity.Open("/db", validity.Options{FS: vfs.NewMem()})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return &records{t, rand.New(rand.NewPCG(seed, 3)), &Collector{DB: db, Roots: &localstore.TempRoots{}}}
}

// one is a path of a few, every third of them a derivation.
func (r *records) one() storepath.Path {
	if n := r.rng.IntN(24); n%3 == 0 {
		return named(fmt.Sprintf("p%d.drv", n))
	} else {
		return named(fmt.Sprint("p", n))
	}
}

func outputOf(drv storepath.Path) storepath.Path {
	var n int
	if _, err := fmt.Sscanf(drv.Name(), "p%d.drv", &n); err != nil {
		panic(err)
	}
	return named(fmt.Sprint("p", n+1))
}

// info needs some that are valid or among others, and perhaps itself.
func (r *records) info(p storepath.Path, others []storepath.Path) validity.Info {
	i := validity.Info{Path: p, NarHash: nixhash.Sum(nixhash.SHA256, []byte(p.Base())), NarSize: 1}
	for range r.rng.IntN(4) {
		o := r.one()
		if valid, err := r.c.DB.Durable(o); err == nil && valid || slices.Contains(others, o) {
			i.References = append(i.References, o)
		}
	}
	if drv := r.one(); r.rng.IntN(2) == 0 && drv.IsDerivation() {
		i.Deriver = drv
	}
	slices.SortFunc(i.References, storepath.Path.Compare)
	i.References = slices.Compact(i.References)
	return i
}

// change makes some paths valid, or gives one other needs.
func (r *records) change() {
	r.t.Helper()
	var fresh []storepath.Path
	for range 1 + r.rng.IntN(3) {
		if p := r.one(); !slices.Contains(fresh, p) {
			fresh = append(fresh, p)
		}
	}
	reg := validity.Registration{}
	for _, p := range fresh {
		reg.Paths = append(reg.Paths, r.info(p, fresh))
		if p.IsDerivation() && r.rng.IntN(2) == 0 {
			reg.Drv, reg.Outputs = p, map[string]storepath.Path{"out": outputOf(p)}
		}
	}
	must(r.t, r.c.DB.RegisterProvisional(reg))
	if r.rng.IntN(6) > 0 {
		must(r.t, r.c.DB.Commit(context.Background(), fresh...))
	}
	if p := r.one(); r.rng.IntN(8) == 0 {
		if durable, err := r.c.DB.Durable(p); err == nil && durable {
			must(r.t, r.c.DB.Replace(r.info(p, nil)))
		}
	}
}

// deadNames are what a liveness has as dead.
func deadNames(l *liveness) string {
	var all []string
	for at, n := range l.graph.Nodes {
		if !l.live[at] {
			all = append(all, n.Path.Name())
		}
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

// marked is the whole graph with the marks of roots: what is dead by definition.
func (r *records) marked(o Options, roots map[storepath.Path]struct{}) *liveness {
	r.t.Helper()
	l, err := r.c.all(o)
	must(r.t, err)
	for p := range roots {
		l.markPath(p)
	}
	return l
}

func (r *records) roots() map[storepath.Path]struct{} {
	roots := map[storepath.Path]struct{}{}
	for range r.rng.IntN(4) {
		roots[r.one()] = struct{}{}
	}
	return roots
}

// collect deletes the records of what is dead, as a collection does.
func (r *records) collect(l *liveness) {
	r.t.Helper()
	for _, group := range l.dead() {
		var paths []storepath.Path
		for _, at := range group {
			paths = append(paths, l.graph.Nodes[at].Path)
		}
		must(r.t, r.c.DB.Unregister(paths...))
	}
}

// However paths came and went, what is dead when it is looked for from the heads on is what
// is dead when everything is looked at.
func TestPeelIsMark(t *testing.T) {
	found, cycles := 0, 0
	for seed := range uint64(30) {
		r := newRecords(t, seed)
		for step := range 80 {
			r.change()
			o := Options{Action: DeleteDead, KeepDerivations: r.rng.IntN(2) == 0}
			roots := r.roots()
			want := r.marked(o, roots)
			got, err := r.c.peel(t.Context(), o, roots)
			must(t, err)
			if deadNames(got) != deadNames(want) {
				t.Fatalf("seed %d, step %d, %+v, roots %v: dead are %s, want %s", seed, step, o, roots, deadNames(got), deadNames(want))
			}
			for _, group := range got.dead() {
				found++
				if len(group) > 1 {
					cycles++
				}
			}
			if r.rng.IntN(8) == 0 {
				r.collect(got)
			}
		}
	}
	if found < 10_000 || cycles < 30 {
		t.Errorf("only %d groups were dead, %d of them cycles", found, cycles)
	}
}

// Which of some paths others need, or roots, is found by who needs them, and is what
// everything says.
func TestAmongIsMark(t *testing.T) {
	alive := 0
	for seed := range uint64(40) {
		r := newRecords(t, seed)
		for step := range 60 {
			r.change()
			o := Options{Action: DeleteSpecific, KeepDerivations: r.rng.IntN(2) == 0, KeepOutputs: r.rng.IntN(2) == 0}
			for range 1 + r.rng.IntN(12) {
				o.Paths = append(o.Paths, r.one())
			}
			roots := r.roots()
			want := r.marked(o, roots)
			among := map[int32]bool{}
			for _, p := range o.Paths {
				if at, valid := want.graph.Find(p); valid {
					among[at] = true
				}
			}
			for at := range want.needed(among) {
				want.mark(at)
			}
			got, err := r.c.among(o, roots)
			must(t, err)
			if len(got.live) != len(among) {
				t.Fatalf("seed %d, step %d: %d of %d paths are valid", seed, step, len(got.live), len(among))
			}
			for at := range among {
				p := want.graph.Nodes[at].Path
				here, _ := got.graph.Find(p)
				if got.live[here] != want.live[at] {
					t.Fatalf("seed %d, step %d, %+v, roots %v: %s is alive: %v", seed, step, o, roots, p.Name(), got.live[here])
				}
				if want.live[at] {
					alive++
				}
			}
			if r.rng.IntN(8) == 0 {
				r.collect(r.marked(Options{}, r.roots()))
			}
		}
	}
	if alive < 1000 {
		t.Errorf("only %d were alive", alive)
	}
}
