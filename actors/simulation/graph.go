package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"troupe/messages"
	"troupe/storage/storepath"
)

// Graph is what can be built.
type Graph struct {
	Drvs    []Drv
	Sources []storepath.Path
	index   map[storepath.Path]int // of a derivation
	source  map[storepath.Path]bool
	made    map[storepath.Path]bool // derivations that are outputs of others

	resolved    map[storepath.Path]Drv // that others were resolved to
	resolutions map[string]storepath.Path
}

// Drv is one derivation.
type Drv struct {
	messages.Recipe
	Duration time.Duration // of its builder

	kind    kind
	content int               // derivations that differ only in how their inputs are made have the same
	made    []messages.Output // where its outputs lie, where the recipe does not tell
}

// NewGraph makes a graph of recipes that were read. Durations of builders are
// what the recipes expect, or a second.
func NewGraph(recipes []messages.Recipe) *Graph {
	g := &Graph{}
	seen := map[storepath.Path]bool{}
	for _, r := range recipes {
		d := r.Expected
		if d == 0 {
			d = time.Second
		}
		g.Drvs = append(g.Drvs, Drv{Recipe: r, Duration: d})
		for _, s := range r.Sources {
			if !seen[s] {
				seen[s] = true
				g.Sources = append(g.Sources, s)
			}
		}
	}
	g.number()
	return g
}

func (g *Graph) number() {
	g.index = make(map[storepath.Path]int, len(g.Drvs))
	for i, d := range g.Drvs {
		g.index[d.Drv] = i
	}
	g.source = make(map[storepath.Path]bool, len(g.Sources))
	for _, s := range g.Sources {
		g.source[s] = true
	}
}

// pathOf makes a store path with a readable name and a hash that is a number.
func pathOf(n int, name string) storepath.Path {
	p, err := storepath.ParseBase(fmt.Sprintf("%032d-%s", n, name))
	if err != nil {
		panic(err)
	}
	return p
}

// randomGraph makes derivations that depend on earlier ones.
func randomGraph(s Scenario) *Graph {
	rng := stream(s.Seed, "graph")
	g := &Graph{}
	for i := range 1 + rng.IntN(3) {
		g.Sources = append(g.Sources, pathOf(900000+i, fmt.Sprintf("source%d", i)))
	}
	for i := range s.Goals {
		g.Drvs = append(g.Drvs, g.random(rng, i))
	}
	if len(g.Drvs) > 1 && rng.IntN(1000) < s.Faults[Cycle] {
		from, to := rng.IntN(len(g.Drvs)), rng.IntN(len(g.Drvs))
		first := &g.Drvs[min(from, to)]
		last := g.Drvs[max(from, to)]
		first.Inputs = append(first.Inputs, messages.Target{Path: last.Drv, Outputs: []string{last.Outputs[0].Name}})
	}
	g.number()
	g.float(s)
	if rng := stream(s.Seed, "nests"); s.Nesting {
		for i := range g.Drvs {
			g.Drvs[i].Nests = rng.IntN(3) == 0
		}
	}
	return g
}

func (g *Graph) random(rng *rand.Rand, i int) Drv {
	name := fmt.Sprintf("d%d", i)
	d := Drv{Recipe: messages.Recipe{Drv: pathOf(i, name+".drv"), Outputs: []messages.Output{{Name: "out", Path: pathOf(1000*(i+1), name)}}},
		Duration: time.Duration(rng.IntN(20_000)) * time.Millisecond}
	if rng.IntN(4) == 0 {
		d.Outputs = slices.Insert(d.Outputs, 0, messages.Output{Name: "dev", Path: pathOf(1000*(i+1)+1, name+"-dev")})
	}
	if rng.IntN(6) == 0 {
		d.Fixed, d.Outputs = true, d.Outputs[len(d.Outputs)-1:]
		if other, ok := g.someFixed(rng); ok && rng.IntN(2) == 0 { // the same contents from elsewhere
			d.Outputs = other.Outputs
		}
	}
	d.PreferLocal = rng.IntN(5) == 0
	if rng.IntN(2) == 0 {
		d.Expected = d.Duration
	}
	for range rng.IntN(4) {
		if i == 0 {
			break
		}
		in := g.Drvs[rng.IntN(i)]
		if slices.ContainsFunc(d.Inputs, func(t messages.Target) bool { return t.Path == in.Drv }) {
			continue
		}
		d.Inputs = append(d.Inputs, messages.Target{Path: in.Drv, Outputs: in.some(rng)})
	}
	if rng.IntN(3) == 0 {
		d.Sources = append(d.Sources, g.Sources[rng.IntN(len(g.Sources))])
	}
	return d
}

func (g *Graph) someFixed(rng *rand.Rand) (Drv, bool) {
	var all []Drv
	for _, d := range g.Drvs {
		if d.Fixed {
			all = append(all, d)
		}
	}
	if len(all) == 0 {
		return Drv{}, false
	}
	return all[rng.IntN(len(all))], true
}

// some are one or more names of outputs, sorted.
func (d Drv) some(rng *rand.Rand) []string {
	if rng.IntN(5) == 0 {
		return []string{messages.AllOutputs}
	}
	names := []string{d.Outputs[rng.IntN(len(d.Outputs))].Name}
	return messages.MergeOutputs(names, []string{d.Outputs[len(d.Outputs)-1].Name})
}

// outputs are the paths of the named outputs.
func (d Drv) outputs(names []string) (paths []storepath.Path) {
	for _, o := range d.Outputs {
		if slices.Contains(names, o.Name) || slices.Contains(names, messages.AllOutputs) {
			paths = append(paths, o.Path)
		}
	}
	return paths
}

func (g *Graph) drv(p storepath.Path) (Drv, bool) {
	i, ok := g.index[p]
	if !ok {
		d, ok := g.resolved[p]
		return d, ok
	}
	return g.Drvs[i], true
}
