package sessions_test

import (
	"fmt"
	"testing"

	"troupe/messages/workerproto"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
)

// reliances are requests whose answer somebody relies on, each of which makes durable
// what was added before, whoever added it.
func reliances(w *world, r recipe) map[string]workerproto.Request {
	return map[string]workerproto.Request{
		"is valid":      &workerproto.IsValidPath{Path: r.drv},
		"info":          &workerproto.QueryPathInfo{Path: r.drv},
		"valid paths":   &workerproto.QueryValidPaths{Paths: []storepath.Path{r.drv}},
		"outputs":       &workerproto.QueryDerivationOutputMap{Path: r.drv},
		"all":           &workerproto.QueryAllValidPaths{},
		"indirect root": &workerproto.AddIndirectRoot{Name: w.dir + "/root"},
		"missing":       &workerproto.QueryMissing{Paths: build(r).Paths},
		"realise":       &workerproto.BuildPaths{Paths: []workerproto.DerivedPath{{Path: r.drv}}},
		"build":         build(r),
	}
}

// TestWhoReliesOnADerivationHasItDurable: of itself a derivation that was added is
// durable only a little later.
func TestWhoReliesOnADerivationHasItDurable(t *testing.T) {
	w := newWorld(t)
	durable := func(what string, r recipe) {
		t.Helper()
		if is, err := w.db.Durable(r.drv); err != nil || !is {
			t.Errorf("%s: %s is durable: %v, %v", what, r.drv, is, err)
		}
	}
	n := 0
	fresh := func() recipe {
		n++
		return w.derivation(fmt.Sprint("d", n), "echo > $out")
	}
	for what := range reliances(w, fresh()) {
		for _, same := range []bool{true, false} {
			r, adds := fresh(), w.connect(rootUser, newest)
			adds.add(r)
			asks := adds
			if !same {
				asks = w.connect(anybody, newest)
			}
			if _, err := asks.ask(reliances(w, r)[what], nil); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			durable(what, r)
			adds.hangUp()
		}
	}
	r, gone := fresh(), w.connect(rootUser, newest)
	gone.add(r)
	gone.hangUp()
	gone.closesNow()
	durable("hang-up", r)
	r, idle := fresh(), w.connect(rootUser, newest)
	idle.add(r)
	eventually(t, "it is durable though nobody asks", func() bool {
		is, err := w.db.Durable(r.drv)
		return is && err == nil
	})
}

// TestDerivationsAreDurableTogether: who adds many does not wait for the disk each time.
func TestDerivationsAreDurableTogether(t *testing.T) {
	const many = 100
	w := newWorld(t)
	c := w.connect(rootUser, newest)
	before := w.db.Operations().Batches
	for n := range many {
		c.add(w.derivation(fmt.Sprint("d", n), "echo > $out"))
	}
	tell[*workerproto.One](c, &workerproto.SyncWithGC{}, nil)
	if n := w.db.Operations().Batches - before; n > many/2 { // of which each takes a fifth of a second to come
		t.Errorf("%d batches for %d derivations", n, many)
	}
}

// TestADebtThatCannotBePaid is told to who has it, once, and to nobody else.
func TestADebtThatCannotBePaid(t *testing.T) {
	w := newWorld(t)
	c, other := w.connect(rootUser, newest), w.connect(anybody, newest)
	var r recipe
	n := 0
	eventually(t, "what is lost is owed yet", func() bool {
		n++
		r = w.derivation(fmt.Sprint("lost", n), "echo > $out")
		c.add(r)
		_, err := localstore.Remove(w.layout.RealPath(r.drv))
		is, derr := w.db.Durable(r.drv)
		return err == nil && derr == nil && !is
	})
	tell[*workerproto.One](other, &workerproto.SyncWithGC{}, nil)
	c.refused(&workerproto.AddIndirectRoot{Name: w.dir + "/root"}, nil, "flush store")
}
