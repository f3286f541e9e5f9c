package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"troupe/messages"
	"troupe/storage/storepath"
)

// float turns some derivations of a share of graphs into such whose outputs have
// no paths before they are built, and with them all that is built with these. It
// draws from numbers of its own, so that graphs are otherwise as they were.
func (g *Graph) float(s Scenario) {
	rng := stream(s.Seed, "floating")
	if rng.IntN(4) > 0 || s.Demand != nil || !g.ordered() {
		return
	}
	if stream(s.Seed, "dynamic").IntN(2) == 0 {
		g.makeDynamic(s)
	}
	for i := range g.Drvs {
		d := &g.Drvs[i]
		d.content = i
		unknown, impure := g.unknownInputs(*d)
		switch n := rng.IntN(12); {
		case g.made[g.pathMade(*d)]:
		case d.Fixed:
			d.Resolve = unknown
		case impure || n == 0:
			d.become(kindImpure)
		case n < 5:
			d.become(kindFloating)
			g.copyOf(rng, d, i)
		case unknown:
			d.become(kindDeferred)
		}
	}
}

// ordered reports whether derivations have only earlier ones as inputs.
func (g *Graph) ordered() bool {
	for i, d := range g.Drvs {
		if slices.ContainsFunc(d.Inputs, func(t messages.Target) bool { return g.index[t.Path] >= i }) {
			return false
		}
	}
	return true
}

// kind is what the paths of outputs follow from.
type kind uint8

const (
	kindKnown kind = iota
	kindFloating
	kindDeferred
	kindImpure
)

func (d *Drv) become(k kind) {
	d.kind, d.Unknown, d.Impure = k, true, k == kindImpure
	d.Resolve = len(d.Inputs)+len(d.Dynamic) > 0
	d.made = d.Outputs
	d.Outputs = slices.Clone(d.Outputs)
	for i, o := range d.Outputs {
		d.Outputs[i].Path = storepath.Path{}
		d.Locks = append(d.Locks, lockOf(d.Drv, o.Name))
	}
}

func lockOf(drv storepath.Path, output string) storepath.Path {
	p, err := storepath.ParseBase(drv.Base() + "." + output)
	if err != nil {
		panic(err)
	}
	return p
}

// copyOf makes a floating derivation now and then another one of an earlier: with
// the same inputs it comes to the same.
func (g *Graph) copyOf(rng *rand.Rand, d *Drv, i int) {
	if i == 0 || rng.IntN(2) == 0 {
		return
	}
	of := g.Drvs[rng.IntN(i)]
	if of.kind == kindFloating && len(of.Inputs) > 0 {
		d.content, d.Inputs, d.Dynamic, d.Sources, d.Resolve = of.content, of.Inputs, of.Dynamic, of.Sources, true
		d.Outputs, d.made, d.Locks = of.Outputs, of.made, nil
		for _, o := range d.Outputs {
			d.Locks = append(d.Locks, lockOf(d.Drv, o.Name))
		}
	}
}

// unknownInputs reports whether a derivation is built with outputs that have no
// paths before, and with impure ones.
func (g *Graph) unknownInputs(d Drv) (unknown, impure bool) {
	for _, t := range d.Inputs {
		in := g.Drvs[g.index[t.Path]]
		unknown = unknown || in.Unknown
		impure = impure || in.Impure
	}
	for _, t := range d.Dynamic {
		unknown = true
		impure = impure || g.led(t).Impure
	}
	return unknown, impure
}

// locks are what must be held to build it.
func (d Drv) locks() (paths []storepath.Path) {
	if d.Unknown {
		return d.Locks
	}
	for _, o := range d.Outputs {
		paths = append(paths, o.Path)
	}
	return paths
}

// resolution is the derivation that one is resolved to, given where its inputs
// lie: the same for those that differ in how these are made.
func (g *Graph) resolution(d Drv, inputs []storepath.Path) Drv {
	slices.SortFunc(inputs, storepath.Path.Compare)
	inputs = slices.Compact(inputs)
	key := fmt.Sprint(d.content, d.kind, inputs)
	if g.resolved == nil {
		g.resolved, g.resolutions = map[storepath.Path]Drv{}, map[string]storepath.Path{}
	}
	if p, known := g.resolutions[key]; known {
		return g.resolved[p]
	}
	n := 1_000_000 + 100*len(g.resolved)
	r := d
	r.Drv = pathOf(n, strings.TrimPrefix(d.Drv.Name(), "d"))
	r.Inputs, r.Dynamic, r.Resolve, r.Locks = nil, nil, false, nil
	r.Sources = slices.Concat(d.Sources, inputs)
	r.Outputs, r.made = slices.Clone(d.Outputs), nil
	for i, o := range r.Outputs {
		at := messages.Output{Name: o.Name, Path: pathOf(n+10+i, o.Name)}
		switch d.kind {
		case kindDeferred: // its path is known now
			r.kind, r.Unknown, r.Outputs[i] = kindKnown, false, at
		case kindFloating, kindImpure:
			r.made = append(r.made, at)
			r.Locks = append(r.Locks, lockOf(r.Drv, o.Name))
		}
	}
	g.resolutions[key], g.resolved[r.Drv] = r.Drv, r
	return r
}

// output is where an output lies that a build has made. What is impure is made anew
// each time.
func (w *World) output(d Drv, name string) storepath.Path {
	all := d.Outputs
	if d.Unknown {
		all = d.made
	}
	for _, o := range all {
		if o.Name == name && d.Impure {
			w.anew++
			return pathOf(9_000_000+w.anew, name)
		}
		if o.Name == name {
			return o.Path
		}
	}
	panic(fmt.Sprintf("%v has no output %s", d.Drv, name))
}

// realised are the outputs of a derivation that are recorded, and at a valid path.
func (w *World) realised(drv storepath.Path) (known []messages.Output) {
	d, _ := w.graph.drv(drv)
	for _, o := range d.Outputs {
		if p, ok := w.disk.traces[lockOf(drv, o.Name)]; ok {
			known = append(known, messages.Output{Name: o.Name, Path: p})
		}
	}
	return known
}

// resolve answers what is built in the place of a derivation.
func (w *World) resolve(m *messages.ResolveDerivation) messages.Message {
	d, ok := w.graph.drv(m.Drv)
	if !ok || w.hit(Unreadable) {
		return &messages.DerivationUnreadable{Status: messages.MiscFailure, Reason: "no space left on device"}
	}
	var inputs []storepath.Path
	for _, in := range d.Inputs {
		from, _ := w.graph.drv(in.Path)
		for _, o := range from.Outputs {
			if !in.Wants(o.Name) {
				continue
			}
			inputs = append(inputs, w.builtAt(m, in.Path, nil, o.Name))
		}
	}
	for _, in := range d.Dynamic {
		for _, o := range w.graph.led(in).Outputs {
			if slices.Contains(in.Outputs, o.Name) || slices.Contains(in.Outputs, messages.AllOutputs) {
				inputs = append(inputs, w.builtAt(m, in.Drv, in.Through, o.Name))
			}
		}
	}
	r := w.graph.resolution(d, inputs)
	if !w.disk.valid(r.Drv) {
		w.disk.register(r.Drv, nil)
	}
	w.disk.leases.add(m.From, r.Drv)
	return &messages.DerivationResolved{Drv: r.Drv}
}

// builtAt is where an output of an input lies, as the goal has it.
func (w *World) builtAt(m *messages.ResolveDerivation, drv storepath.Path, through []string, output string) storepath.Path {
	for _, in := range m.Inputs {
		for _, o := range in.Outputs {
			if in.Drv == drv && slices.Equal(in.Through, through) && o.Name == output && w.disk.valid(o.Path) {
				return o.Path
			}
		}
	}
	w.fail("realisations", fmt.Sprintf("%v is resolved without output %s of %v %v", m.Drv, output, drv, through))
	return storepath.Path{}
}

// record notes where outputs lie.
func (w *World) record(m *messages.RecordRealisations) messages.Message {
	if w.hit(QueryFails) {
		return &messages.RealisationsRecorded{Error: "the database cannot be written"}
	}
	for _, o := range m.Outputs {
		w.trace1(m.Drv, o)
	}
	answer := &messages.RealisationsRecorded{}
	for _, o := range m.Outputs {
		at := w.disk.traces[lockOf(m.Drv, o.Name)]
		w.disk.leases.add(m.From, at)
		answer.Outputs = append(answer.Outputs, messages.Output{Name: o.Name, Path: at})
	}
	return answer
}

// trace1 notes where one output lies, unless it lies elsewhere already.
func (w *World) trace1(drv storepath.Path, o messages.Output) {
	at := lockOf(drv, o.Name)
	if _, known := w.disk.traces[at]; !known {
		w.disk.traces[at] = o.Path
	}
}
