package goal

import (
	"slices"
	"strings"

	"troupe/actors/host"
	"troupe/messages"
)

// An output that has no path before it is built is fetched in two steps: some
// substituter knows where it lies, and some substituter has what lies there. That
// it lies there is noted once it does.

// seek asks where wanted outputs lie that are not valid, those that were not asked
// for before. What is impure is never looked for.
func (g *Derivation) seek() []host.Effect {
	var names []string
	for i, o := range g.recipe.Outputs {
		known := slices.ContainsFunc(g.realised, func(r messages.Output) bool { return r.Name == o.Name })
		if known || g.tried[i] || g.recipe.Impure || !g.target.Wants(o.Name) || !g.maySubstitute() {
			continue
		}
		g.tried[i] = true
		names = append(names, o.Name)
	}
	if len(names) == 0 {
		return g.onAllTried()
	}
	return append(g.enter(seekRealisations), host.Send{To: messages.Caches, Msg: &messages.LookUpRealisations{
		From: g.self, Drv: g.target.Path, Outputs: names, Settings: g.terms.Settings}})
}

// onSought has what lies there fetched.
func (g *Derivation) onSought(m *messages.RealisationsFound) (out []host.Effect) {
	for _, w := range m.Warnings {
		out = append(out, host.Send{To: messages.Progress, Msg: &messages.GoalWarned{Goal: g.self, Text: w}})
	}
	if m.Failed != "" {
		out = append(out, host.Send{To: messages.Progress, Msg: &messages.GoalWarned{Goal: g.self, Text: m.Failed}})
		g.lose(messages.Result{Status: messages.NoSubstituters, Flaw: messages.SubstituterFailed, Error: m.Failed})
	}
	if len(m.Outputs) == 0 {
		return append(out, g.seek()...)
	}
	own := g.own()
	own.found, own.fetched = m, make([]bool, len(m.Outputs))
	var waitees []messages.Target
	for _, o := range m.Outputs {
		if t := (messages.Target{Path: o.Path}); !slices.ContainsFunc(waitees, func(w messages.Target) bool { return w.Path == t.Path }) {
			waitees = append(waitees, t)
		}
	}
	g.waitees = len(waitees)
	return append(append(out, g.enter(trySubstitutes)...), g.await(waitees))
}

// onFetched notes how the fetch of what was found ended, and has the outputs
// recorded once all have.
func (g *Derivation) onFetched(m *messages.WaiteeDone) []host.Effect {
	g.waitees--
	for i, o := range g.found.Outputs {
		if o.Path == m.Waitee.Path {
			g.fetched[i] = m.Result.Status.OK()
		}
	}
	g.lose(m.Result)
	if g.waitees > 0 {
		return nil
	}
	record := &messages.RecordRealisations{From: g.self, Drv: g.target.Path, Settings: g.terms.Settings}
	for i, o := range g.found.Outputs {
		if g.fetched[i] {
			record.Outputs = append(record.Outputs, o)
			record.Signatures = append(record.Signatures, g.found.Signatures[i])
		}
	}
	if len(record.Outputs) == 0 {
		return g.seek()
	}
	return append(g.enter(recording), host.Send{To: messages.Database, Msg: record})
}

// onFetchedRecorded takes what was fetched for outputs. It may not be on disk yet.
func (g *Derivation) onFetchedRecorded(outputs []messages.Output) []host.Effect {
	own := g.own()
	own.realised = append(own.realised, outputs...)
	slices.SortFunc(own.realised, func(a, b messages.Output) int { return strings.Compare(a.Name, b.Name) })
	own.provisional = append(own.provisional, pathsOf(outputs)...)
	own.found, own.fetched = nil, nil
	return g.seek()
}
