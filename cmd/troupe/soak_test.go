package main

import (
	"cmp"
	"context"
	"crypto/md5"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soakGraph is a lattice of derivations, three to a layer, of which one has no path
// before it is built, nor have those above it. All clients of a generation share the lattice,
// and each has one of its own on top. What a node holds follows from its name and
// from what is below it.
const soakGraph = `
{ gen, who }:
let
  box = builtins.path { name = "box"; path = BOX; };
  node = name: floating: deps: derivation ({
    inherit name; system = builtins.currentSystem; builder = "${box}/bin/busybox"; PATH = "${box}/bin";
    args = [ "sh" "-e" "-c" "sleep 0.0$((RANDOM % 9)); { cat /dev/null ${toString deps}; echo ${name}; } | md5sum > $out" ];
  } // (if floating then { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; } else { }));
  layer = l: i: node "n-${gen}-${toString l}-${toString i}" (l == 2 && i == 2)
    (if l == 0 then [ ] else [ (layer (l - 1) i) (layer (l - 1) (if i == 2 then 0 else i + 1)) ]);
in rec {
  a = layer 3 0; b = layer 3 1; c = layer 3 2; low = layer 1 1;
  own = node "own-${gen}-${who}" false [ a b c ];
  bad = derivation { name = "bad-${gen}-${who}"; system = builtins.currentSystem; builder = "${box}/bin/busybox"; args = [ "sh" "-c" "exit 3" ]; x = low; };
}
`

// soakText is what an attribute holds.
func soakText(gen, who, attr string) string {
	sum := func(name string, deps ...string) string {
		return fmt.Sprintf("%x  -\n", md5.Sum([]byte(strings.Join(deps, "")+name+"\n")))
	}
	var layer func(l, i int) string
	layer = func(l, i int) string {
		name := fmt.Sprintf("n-%s-%d-%d", gen, l, i)
		if l == 0 {
			return sum(name)
		}
		return sum(name, layer(l-1, i), layer(l-1, (i+1)%3))
	}
	switch attr {
	case "own":
		return sum("own-"+gen+"-"+who, layer(3, 0), layer(3, 1), layer(3, 2))
	case "low":
		return layer(1, 1)
	}
	return layer(3, int(attr[0]-'a'))
}

// soak is eight clients of one daemon, and a collector.
type soak struct {
	*running
	ctx   context.Context // ends the soak
	gen   atomic.Int64
	seed  uint64
	kinds sync.Map // of what was done: *atomic.Int64
}

// TestSoak lets eight clients, stock ones and our own, build different and
// overlapping graphs, fail, add, export and import, and be killed, while garbage is
// collected all the time. Nothing may go wrong for those that are not killed, and
// nothing may be left: no memory, descriptors, goroutines, mounts, users,
// processes, or files.
//
// TROUPE_SOAK is for how long, as 10m; otherwise it is some seconds. TROUPE_SEED is
// what is chosen from.
func TestSoak(t *testing.T) {
	needNix(t)
	needBuilds(t)
	span, err := time.ParseDuration(cmp.Or(os.Getenv("TROUPE_SOAK"), "6s"))
	if err != nil {
		t.Fatal(err)
	}
	seed := number(t, "TROUPE_SEED", int(time.Now().UnixNano()%1_000_000))
	t.Logf("TROUPE_SEED=%d", seed)
	s := newSite(t, os.Geteuid(), "sandbox = true\nexperimental-features = ca-derivations")
	s.addExpressions()
	s.write("soak.nix", strings.ReplaceAll(soakGraph, "BOX", s.at("box")))
	s.write("client/nix.conf", "experimental-features = nix-command ca-derivations\nsubstituters =\n")
	before := s.freshRest()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	k := &soak{running: s.daemon(), ctx: ctx, seed: uint64(seed)}
	var all sync.WaitGroup
	for n := range 8 {
		s.must(os.Mkdir(s.at(fmt.Sprint("client-", n)), 0o755))
		all.Go(func() { k.soaker(n) })
	}
	all.Go(k.collect)
	k.turnGenerations(span)
	cancel()
	all.Wait()
	k.lookAtStore()
	k.lookAtRest(before)
	k.lookAtDecisions()
	k.kinds.Range(func(kind, n any) bool {
		t.Logf("%v: %d", kind, n.(*atomic.Int64).Load())
		return true
	})
}

// turnGenerations lets time pass, in which graphs grow old.
func (k *soak) turnGenerations(span time.Duration) {
	const turn = 4 * time.Second
	for began := time.Now(); time.Since(began) < span && !k.t.Failed(); {
		time.Sleep(min(turn, span-time.Since(began)))
		if n := k.gen.Add(1); n%8 == 0 {
			r := k.rest()
			k.t.Logf("%v: %d KiB, %d descriptors, %d threads", time.Since(began).Round(time.Second), r.pss, len(r.files), r.threads)
		}
	}
}

// count notes that something was done, and how it ended.
func (k *soak) count(kind string) {
	n, _ := k.kinds.LoadOrStore(kind, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}
