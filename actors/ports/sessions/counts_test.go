package sessions_test

import (
	"fmt"
	"runtime"
	"testing"

	"troupe/messages/workerproto"
	"troupe/storage/validity"
)

// counts are what a number of builds costs.
type counts struct {
	allocations, bytes uint64
	validity.Operations
}

// costs builds n derivations and one that reads them all, in a world of their own.
func costs(t *testing.T, n int) (c counts) {
	w := newWorld(t)
	var leaves []recipe
	for i := range n {
		leaves = append(leaves, w.derivation(fmt.Sprint("leaf-", i), "echo > $out"))
	}
	top := w.derivation("top", "echo > $out", leaves...)
	client := w.connect(rootUser, newest)
	client.add(append(leaves, top)...)
	var before, after runtime.MemStats
	was := w.db.Operations()
	runtime.ReadMemStats(&before)
	tell[*workerproto.One](client, build(top), nil)
	runtime.ReadMemStats(&after)
	is := w.db.Operations()
	return counts{after.Mallocs - before.Mallocs, after.TotalAlloc - before.TotalAlloc,
		validity.Operations{Gets: is.Gets - was.Gets, Scans: is.Scans - was.Scans, Batches: is.Batches - was.Batches, Walked: is.Walked - was.Walked}}
}

// TestCounts bounds what a trivial derivation costs in the whole service: what 60 do
// beyond what 20 do. The bounds are some way above what is counted; who comes over
// one has made every build dearer, and who comes far below should lower it. Nothing
// here depends on the time that anything takes but the number of batches, which is
// the fewer the slower the disk is.
func TestCounts(t *testing.T) {
	few, many := costs(t, 20), costs(t, 60)
	per := func(a, b uint64) float64 { return (float64(b) - float64(a)) / 40 }
	for _, c := range []struct {
		what string
		got  float64
		most float64
	}{
		{"allocations", per(few.allocations, many.allocations), 1150},
		{"allocated bytes", per(few.bytes, many.bytes), 360_000},
		{"gets of Pebble", per(uint64(few.Gets), uint64(many.Gets)), 13},
		{"scans of Pebble", per(uint64(few.Scans), uint64(many.Scans)), 0.2},
		{"paths of closures", per(uint64(few.Walked), uint64(many.Walked)), 0},
		{"batches of Pebble", per(uint64(few.Batches), uint64(many.Batches)), 0.5},
	} {
		t.Logf("%s: %.1f a derivation, %.1f allowed", c.what, c.got, c.most)
		if c.got > c.most {
			t.Errorf("%s: %.1f a derivation, more than %.1f", c.what, c.got, c.most)
		}
	}
}

// An output may refer to what is far below the inputs that its derivation names, of
// which a build without a sandbox does not hold a list.
func TestDistantReferences(t *testing.T) {
	w := newWorld(t)
	leaf := w.derivation("leaf", "echo > $out")
	mid := w.derivation("mid", "echo $inputs > $out", leaf)
	above := w.derivation("above", "echo $inputs > $out", mid)
	top := w.derivation("top", "echo $name > $out; cat $(cat $inputs) >> $out", above)
	client := w.connect(rootUser, newest)
	client.add(leaf, mid, above, top)
	tell[*workerproto.One](client, build(top), nil)
	if refs, err := w.db.References(top.out); err != nil || len(refs) != 1 || refs[0] != leaf.out {
		t.Errorf("refers to %v, want %v (%v)", refs, leaf.out, err)
	}
}

// TestCountsOfChains counts the paths of closures that are walked over for the steps
// of a chain: none, without a sandbox, where the outputs name nothing but inputs.
func TestCountsOfChains(t *testing.T) {
	w := newWorld(t)
	var steps []recipe
	for i := range 8 {
		steps = append(steps, w.derivation(fmt.Sprint("step-", i), "echo $inputs > $out", steps[max(0, i-1):]...))
	}
	client := w.connect(rootUser, newest)
	client.add(steps...)
	before := w.db.Operations().Walked
	tell[*workerproto.One](client, build(steps[7]), nil)
	if walked := w.db.Operations().Walked - before; walked > 0 {
		t.Errorf("%d paths were walked over", walked)
	}
}
