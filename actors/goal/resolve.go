package goal

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
)

// A derivation that is resolved is built under another name: once its inputs are
// valid it is turned into one that has their outputs as sources, which is a goal
// like any other. So two that resolve to the same are built once, and one that
// resolves to what is valid is not built at all. See decision 5.

func (g *Derivation) onResolved(m *messages.DerivationResolved) []host.Effect {
	own := g.own()
	own.resolved, own.built, g.inputs = m.Drv, nil, nil
	return append(g.enter(resolved), host.Send{To: messages.Worker, Msg: &messages.AwaitGoals{From: g.self,
		Waitees:  []messages.Target{{Path: m.Drv, Outputs: g.target.Outputs, Mode: g.target.Mode}},
		Expected: g.recipe.Expected}})
}

// onResolvedDone takes the outputs of the resolved derivation for this one's.
func (g *Derivation) onResolvedDone(r messages.Result) []host.Effect {
	if !r.Status.OK() {
		return g.finish(messages.Result{Status: messages.DependencyFailed, Flaw: r.Flaw,
			Error: fmt.Sprintf("build of resolved derivation '%s' failed", g.policy.StoreDir.Join(g.resolved))})
	}
	if r.Status == messages.AlreadyValid {
		r.Status = messages.ResolvesToAlreadyValid
	}
	if g.recipe.Impure || !g.recipe.Unknown {
		return g.registerResolved(r)
	}
	return append(g.become(recording, r), host.Send{To: messages.Database, Msg: &messages.RecordRealisations{
		From: g.self, Drv: g.target.Path, Outputs: r.Outputs, Settings: g.terms.Settings}})
}

func (g *Derivation) onRecorded(m *messages.RealisationsRecorded) []host.Effect {
	if m.Error != "" {
		return g.finish(messages.Result{Status: messages.MiscFailure, Error: m.Error})
	}
	if g.resolved.IsZero() {
		return g.onFetchedRecorded(m.Outputs)
	}
	r := g.result
	r.Outputs = m.Outputs
	return g.registerResolved(r)
}

// registerResolved lets the store see to the derivation that was built, which is
// the deriver of what it made. Its outputs it knows already.
func (g *Derivation) registerResolved(r messages.Result) []host.Effect {
	return append(g.become(registering, r), host.Send{To: messages.Store, Msg: &messages.RegisterPaths{
		From: g.self, Paths: append(pathsOf(r.Outputs), g.resolved)}})
}
