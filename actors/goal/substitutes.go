package goal

import (
	"fmt"
	"slices"

	"troupe/actors/host"
	"troupe/messages"
)

// onMissing lets the derivation be fetched, once.
func (g *Derivation) onMissing() []host.Effect {
	if g.state == loadDerivation || g.terms.NoSubstitutes {
		return g.finish(messages.Result{Status: messages.NoSubstituters, Error: fmt.Sprintf(
			"path '%s' does not exist and cannot be created", g.policy.StoreDir.Join(g.target.Path))})
	}
	g.waitees = 1
	return append(g.enter(getDerivation), g.await([]messages.Target{{Path: g.target.Path}}))
}

func (g *Derivation) onObtained(m *messages.WaiteeDone) []host.Effect {
	g.waitees--
	if !m.Result.Status.OK() {
		return g.finish(messages.Result{Status: messages.DependencyFailed, Flaw: m.Result.Flaw, Error: fmt.Sprintf(
			"failed to obtain derivation of '%s'", g.policy.StoreDir.Join(g.target.Path))})
	}
	return append(g.enter(loadDerivation), g.read())
}

func (g *Derivation) read() host.Effect {
	return host.Send{To: messages.Database, Msg: &messages.ReadDerivation{From: g.self, Drv: g.target.Path, Settings: g.terms.Settings}}
}

// maySubstitute reports whether outputs may be fetched.
func (g *Derivation) maySubstitute() bool {
	return !g.terms.NoSubstitutes && (!g.recipe.OnlyBuilt || g.terms.AnySubstitutes)
}

// substitute tries to fetch the wanted outputs that are not valid, those that were
// not tried before.
func (g *Derivation) substitute() []host.Effect {
	if g.recipe.Unknown {
		return g.seek()
	}
	var waitees []messages.Target
	for i, o := range g.known() {
		if g.there[i] || g.tried[i] || !g.target.Wants(o.Name) || !g.maySubstitute() {
			continue
		}
		g.tried[i] = true
		waitees = append(waitees, messages.Target{Path: o.Path, CA: g.recipe.more.CA})
	}
	if len(waitees) == 0 {
		return g.onAllTried()
	}
	g.waitees = len(waitees)
	return append(g.enter(trySubstitutes), g.await(waitees))
}

// onSubstituted notes how the fetch of an output ended. More outputs may be wanted
// by now.
func (g *Derivation) onSubstituted(m *messages.WaiteeDone) []host.Effect {
	switch {
	case m.Waitee.Mode == messages.Repair:
		return g.onMended(m)
	case g.recipe.Unknown:
		return g.onFetched(m)
	}
	g.waitees--
	i := slices.IndexFunc(g.recipe.Outputs, func(o messages.Output) bool { return o.Path == m.Waitee.Path })
	g.there[i] = m.Result.Status.OK()
	g.lose(m.Result)
	if g.waitees > 0 {
		return nil
	}
	return g.substitute()
}

// lose notes the first fetch that a substituter let fail.
func (g *Derivation) lose(r messages.Result) {
	if r.Flaw&messages.SubstituterFailed != 0 && g.lost == nil {
		lost := r
		g.own().lost = &lost
	}
}

// onAllTried ends the goal if all is there, or else goes on to build. What a
// substituter has and did not give is built only with fallback.
func (g *Derivation) onAllTried() []host.Effect {
	valid, wanted := g.covered()
	switch {
	case wanted && g.target.Mode == messages.Repair && len(g.wrong) == 0:
		return g.report(g.valid(messages.AlreadyValid, valid), g.provisional)
	case wanted && g.target.Mode == messages.Normal:
		return g.report(g.valid(messages.Substituted, valid), g.provisional)
	case wanted && g.target.Mode == messages.Check || g.lost == nil || g.terms.Fallback:
	case g.lost.Status == messages.MiscFailure: // it could not even be asked
		return g.finish(*g.lost)
	default:
		return g.finish(messages.Result{Status: messages.TransientFailure, Flaw: messages.SubstituterFailed, Error: fmt.Sprintf(
			"some substitutes for the outputs of derivation '%s' failed (usually happens due to networking issues); "+
				"try '--fallback' to build derivation from source ", g.policy.StoreDir.Join(g.target.Path))})
	}
	if g.target.Mode == messages.Check {
		if end, ended := g.ended(nil); ended {
			return g.finish(end)
		}
	}
	return g.awaitInputs()
}
