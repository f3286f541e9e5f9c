package goal

import (
	"fmt"
	"slices"

	"troupe/actors/host"
	"troupe/messages"
	"troupe/storage/storepath"
)

// A repair looks at the outputs that are valid and at all that they refer to. What
// these refer to is repaired first, each path by a goal of its own; then outputs that
// are wrong are fetched, and built where nobody has them.

// inspect has what is valid looked at.
func (g *Derivation) inspect() []host.Effect {
	valid, _ := g.covered()
	if len(valid) == 0 {
		return g.substitute()
	}
	return append(g.enter(inspecting), host.Send{To: messages.Builds, Msg: &messages.InspectPaths{From: g.self, Paths: pathsOf(valid)}})
}

func (g *Derivation) onInspected(m *messages.PathsInspected) []host.Effect {
	if m.Error != "" {
		return g.finish(messages.Result{Status: messages.MiscFailure, Error: m.Error})
	}
	if len(m.Wrong) > 0 {
		g.own().wrong = m.Wrong
	}
	if len(m.Others) == 0 {
		return g.mend()
	}
	var out []host.Effect
	var waitees []messages.Target
	for _, p := range m.Others {
		out = append(out, host.Send{To: messages.Progress, Msg: &messages.GoalWarned{Goal: g.self, Text: fmt.Sprintf(
			"found corrupted or missing path '%s' in the output closure of '%s'", g.policy.StoreDir.Join(p.Path), g.policy.StoreDir.Join(g.target.Path))}})
		t := messages.Target{Path: p.Path, Mode: messages.Repair}
		if !p.Maker.IsZero() && p.Maker != g.target.Path {
			t = messages.Target{Path: p.Maker, Outputs: []string{messages.AllOutputs}, Mode: messages.Repair}
		}
		if !slices.ContainsFunc(waitees, func(w messages.Target) bool { return w.Path == t.Path }) {
			waitees = append(waitees, t)
		}
	}
	g.waitees, g.failures = len(waitees), 0
	return append(append(out, g.enter(repairClosure)...), g.await(waitees))
}

// onClosure counts what is repaired of what the outputs refer to.
func (g *Derivation) onClosure(m *messages.WaiteeDone) []host.Effect {
	g.waitees--
	if !m.Result.Status.OK() {
		g.failures++
		g.flaws |= m.Result.Flaw
	}
	switch {
	case g.waitees > 0:
		return nil
	case g.failures > 0:
		return g.finish(messages.Result{Status: messages.MiscFailure, Flaw: g.flaws, Error: fmt.Sprintf(
			"some paths in the output closure of derivation '%s' could not be repaired", g.policy.StoreDir.Join(g.target.Path))})
	}
	return g.mend()
}

// mend tries to fetch the outputs that are wrong, and goes on.
func (g *Derivation) mend() []host.Effect {
	if len(g.wrong) == 0 || g.mended || !g.maySubstitute() {
		return g.substitute()
	}
	g.own().mended = true
	var waitees []messages.Target
	for _, p := range g.wrong {
		waitees = append(waitees, messages.Target{Path: p, CA: g.recipe.more.CA, Mode: messages.Repair})
	}
	g.waitees = len(waitees)
	return append(g.enter(trySubstitutes), g.await(waitees))
}

// onMended notes how the fetch of an output that was wrong ended.
func (g *Derivation) onMended(m *messages.WaiteeDone) []host.Effect {
	g.waitees--
	if m.Result.Status.OK() {
		g.own().wrong = slices.DeleteFunc(slices.Clone(g.wrong), func(p storepath.Path) bool { return p == m.Waitee.Path })
	}
	g.lose(m.Result)
	if g.waitees > 0 {
		return nil
	}
	return g.substitute()
}
