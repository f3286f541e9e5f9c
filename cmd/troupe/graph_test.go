package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// recipes is a graph that is new with every salt: layers of small builds, each
// reading some of the layer before, some with several outputs, and some that
// fail in different ways after they have made a part of what they should.
type recipes struct {
	good, bad []*recipe
	stuck     *recipe // never ends
}

const (
	graphLayers = 4
	graphWidth  = 9
)

const goodScript = `
echo building $name
mkdir -p $out/sub/empty
for i in 1 2 3; do echo $name $i > $out/sub/$i; done
chmod 755 $out/sub/2
ln -s sub/1 $out/link
echo $inputs > $out/inputs
busybox dd if=/dev/zero bs=1k count=60 2>/dev/null | busybox tr '\0' x > $out/large
if [ -n "$dev" ]; then echo $out > $dev; fi
if [ -n "$doc" ]; then mkdir $doc; echo $name > $doc/text; fi
`

// badScripts are appended to the good one.
var badScripts = []string{
	"exit 3",
	"busybox rm -r $out",
	"mkfifo $out/pipe",
	"chmod 777 $out",
}

func (s *testStore) writeGraph(dir, salt string, rng *rand.Rand) recipes {
	s.t.Helper()
	var g recipes
	var before []*recipe
	for layer := range graphLayers {
		var here []*recipe
		for n := range graphWidth {
			r := &recipe{name: fmt.Sprintf("g%s-%d-%d", salt, layer, n), script: goodScript}
			if rng.IntN(4) == 0 {
				r.script += "sleep 0.03\n"
			}
			if n%3 == 1 {
				r.outputs = []string{"dev", "doc", "out"}
			}
			for range min(len(before), 2) {
				if in := before[rng.IntN(len(before))]; !slices.Contains(r.inputs, in) {
					r.inputs = append(r.inputs, in)
				}
			}
			here = append(here, s.write(dir, r))
		}
		g.good, before = append(g.good, here...), here
	}
	for n, script := range badScripts {
		g.bad = append(g.bad, s.write(dir, &recipe{name: fmt.Sprintf("g%s-bad-%d", salt, n), script: goodScript + script,
			outputs: []string{"dev", "out"}, inputs: g.good[n*graphWidth : n*graphWidth+1]}))
	}
	g.stuck = s.write(dir, &recipe{name: "g" + salt + "-stuck", script: goodScript + "sleep " + stuckSeconds(salt) + "& sleep " + stuckSeconds(salt)})
	return g
}

// stuckSeconds is a time that nobody else sleeps, by which the process is found.
func stuckSeconds(salt string) string { return "987654" + salt }
