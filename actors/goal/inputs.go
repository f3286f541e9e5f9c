package goal

import (
	"fmt"
	"slices"

	"troupe/actors/host"
	"troupe/messages"
	"troupe/storage/storepath"
)

// stepInputs handles the states up to inputsRealised: find out what is there,
// and make the inputs valid.
func (g *Derivation) stepInputs(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.Realise:
		g.expect(m, fresh)
		g.target, g.keepGoing, g.terms = m.Target, m.KeepGoing, m.Terms
		return append(g.enter(initial), g.read())
	case *messages.DerivationRead:
		g.expect(m, initial, loadDerivation)
		return g.onDerivation(&m.Recipe)
	case *messages.DerivationMissing:
		g.expect(m, initial, loadDerivation)
		return g.onMissing()
	case *messages.DerivationUnreadable:
		g.expect(m, initial, loadDerivation, resolving)
		return g.finish(messages.Result{Status: m.Status, Error: m.Reason})
	case *messages.PathsQueried:
		g.expect(m, haveDerivation)
		return g.onQueried(m)
	case *messages.PathsInspected:
		g.expect(m, inspecting)
		return g.onInspected(m)
	case *messages.RealisationsFound:
		g.expect(m, seekRealisations)
		return g.onSought(m)
	case *messages.WaiteeDone:
		g.expect(m, getDerivation, repairClosure, trySubstitutes, outputsSubstituted, resolved)
		switch g.state {
		case repairClosure:
			return g.onClosure(m)
		case getDerivation:
			return g.onObtained(m)
		case trySubstitutes:
			return g.onSubstituted(m)
		case resolved:
			return g.onResolvedDone(m.Result)
		}
		return g.onWaitee(m)
	case *messages.DerivationResolved:
		g.expect(m, resolving)
		return g.onResolved(m)
	case *messages.RealisationsRecorded:
		g.expect(m, recording)
		return g.onRecorded(m)
	case *messages.SlotFree:
		g.expect(m, inputsRealised)
		g.on(m.Place, g.awaits)
		return append(g.enter(tryToBuild),
			host.Send{To: messages.PathLocks, Msg: &messages.LockPaths{Goal: g.self, Paths: g.locks()}})
	case *messages.SlotAwaited:
		g.expect(m, inputsRealised)
		return g.onAwaited(m)
	case *messages.SlotRefused:
		g.expect(m, inputsRealised)
		return g.onRefused(m)
	}
	panic(fmt.Sprintf("%s in state %v: unexpected %v", g.self, g.state, m))
}

func (g *Derivation) onDerivation(r *messages.Recipe) []host.Effect {
	g.recipe = recipeOf(r)
	for _, name := range g.target.Outputs {
		if name != messages.AllOutputs && !slices.ContainsFunc(r.Outputs, func(o messages.Output) bool { return o.Name == name }) {
			return g.finish(messages.Result{Status: messages.InputRejected,
				Error: fmt.Sprintf("derivation '%s' does not have wanted outputs '%s'", g.policy.StoreDir.Join(g.target.Path), name)})
		}
	}
	return append(g.enter(haveDerivation), g.query(slices.Concat(g.outputPaths(), r.Sources)))
}

// query asks which paths are valid, and where outputs lie that have no path. Of an
// impure derivation there are none: what it made before does not count.
func (g *Derivation) query(paths []storepath.Path) host.Effect {
	q := &messages.QueryPaths{From: g.self, Paths: paths}
	if g.recipe.Unknown && !g.recipe.Impure {
		q.Drv = g.target.Path
	}
	return host.Send{To: messages.Database, Msg: q}
}

// onQueried decides what is still to do, given which outputs and, after them,
// which sources are valid.
func (g *Derivation) onQueried(m *messages.PathsQueried) []host.Effect {
	if m.Error != "" {
		return g.finish(messages.Result{Status: messages.MiscFailure, Error: m.Error})
	}
	g.tried = make([]bool, len(g.recipe.Outputs))
	g.queried(slices.Clone(m.Valid), m.Outputs)
	if len(m.Provisional) > 0 {
		g.own().provisional = m.Provisional
	}
	end, ended := g.ended(m.Failed)
	switch {
	case g.target.Mode == messages.Check: // which wants them valid, however that comes
	case g.target.Mode == messages.Repair && (!ended || end.Status.OK()):
		return g.inspect()
	case ended:
		return g.report(end, m.Provisional)
	}
	return g.substitute()
}

// awaitInputs asks for what the build needs.
func (g *Derivation) awaitInputs() []host.Effect {
	var waitees []messages.Target
	known := len(g.outputPaths())
	for i, src := range g.recipe.Sources {
		if g.there[known+i] {
			g.inputs = append(g.inputs, src)
			continue
		}
		waitees = append(waitees, messages.Target{Path: src})
	}
	if len(waitees) == 0 {
		waitees = slices.Clip(g.recipe.Inputs) // the worker keeps them: once is enough
	} else {
		waitees = append(waitees, g.recipe.Inputs...)
	}
	waitees = append(waitees, g.lead()...)
	g.waitees = len(waitees)
	out := g.enter(outputsSubstituted)
	if g.waitees == 0 {
		return append(out, g.onInputs()...)
	}
	return append(out, g.await(waitees))
}

func (g *Derivation) await(waitees []messages.Target) host.Effect {
	return host.Send{To: messages.Worker, Msg: &messages.AwaitGoals{From: g.self, Waitees: waitees, Expected: g.recipe.Expected}}
}

// report finishes with what was found. Valid paths that are not on disk yet are
// registered first.
func (g *Derivation) report(r messages.Result, provisional []storepath.Path) []host.Effect {
	if !r.Status.OK() || len(provisional) == 0 {
		return g.finish(r)
	}
	return append(g.become(registering, r), host.Send{To: messages.Store, Msg: &messages.RegisterPaths{From: g.self, Paths: provisional}})
}

// ended says whether what is valid, or known to fail, ends the goal.
func (g *Derivation) ended(failed []bool) (messages.Result, bool) {
	valid, wanted := g.covered()
	if g.target.Mode == messages.Check {
		return messages.Result{Status: messages.MiscFailure, Error: fmt.Sprintf("some outputs of '%s' are not valid, so checking is not possible\n"+
			"Hint: build it first, without --rebuild or --check", g.policy.StoreDir.Join(g.target.Path))}, !wanted
	}
	if wanted && len(g.wrong) == 0 {
		return g.valid(messages.AlreadyValid, valid), true
	}
	for i, o := range g.known() {
		if failed[i] && !g.there[i] {
			return messages.Result{Status: messages.CachedFailure, Error: g.cannotBuild(
				fmt.Sprintf("a build of its output '%s' failed before, and failures are remembered", o.Name))}, true
		}
	}
	return messages.Result{}, false
}

// valid is the result where some outputs are, and these are wanted.
func (g *Derivation) valid(s messages.Status, outputs []messages.Output) messages.Result {
	return messages.Result{Status: s, Outputs: outputs, Partial: len(outputs) < len(g.recipe.Outputs)}
}

// covered lists the valid outputs, and says whether they are all that is wanted.
func (g *Derivation) covered() (valid []messages.Output, wanted bool) {
	valid = slices.Clone(g.realised)
	for i, o := range g.known() {
		if g.there[i] {
			valid = append(valid, o)
		}
	}
	all := len(valid) == len(g.recipe.Outputs)
	wantsAll := slices.Contains(g.target.Outputs, messages.AllOutputs)
	return valid, all || !wantsAll && messages.Result{Outputs: valid}.Covers(g.target.Outputs)
}

func (g *Derivation) onWaitee(m *messages.WaiteeDone) []host.Effect {
	g.waitees--
	var out []host.Effect
	if l := g.way(m.Waitee); l != nil && m.Result.Status.OK() {
		if out = g.follow(l, m.Result); g.state == done {
			return out
		}
	} else if m.Result.Status.OK() {
		g.take(m)
	} else {
		g.failures++
		g.flaws |= m.Result.Flaw
	}
	switch {
	case g.failures > 0 && (g.waitees == 0 || !g.keepGoing):
		return g.finish(g.inputsFailed())
	case g.waitees > 0:
		return out
	}
	return g.onInputs()
}

// onInputs goes on when all inputs are valid.
func (g *Derivation) onInputs() []host.Effect {
	if g.recipe.Resolve {
		return append(g.enter(resolving), host.Send{To: messages.Database, Msg: &messages.ResolveDerivation{
			From: g.self, Drv: g.target.Path, Inputs: g.built}})
	}
	return g.wantSlot(inputsRealised)
}

// take notes the inputs that a waitee made valid.
func (g *Derivation) take(m *messages.WaiteeDone) {
	if !m.Waitee.IsBuild() {
		g.inputs = append(g.inputs, m.Waitee.Path)
		return
	}
	for _, o := range m.Result.Outputs {
		if m.Waitee.Wants(o.Name) {
			g.inputs = append(g.inputs, o.Path)
		}
	}
	if g.recipe.Resolve {
		g.own().built = append(g.built, messages.BuiltInput{Drv: m.Waitee.Path, Outputs: m.Result.Outputs})
	}
}

func (g *Derivation) inputsFailed() messages.Result {
	what := "1 dependency failed"
	if g.failures > 1 {
		what = fmt.Sprintf("%d dependencies failed", g.failures)
	}
	return messages.Result{Status: messages.DependencyFailed, Flaw: g.flaws, Error: g.cannotBuild(what)}
}

// known are the outputs that have a path before they are built.
func (g *Derivation) known() []messages.Output {
	if g.recipe.Unknown {
		return nil
	}
	return g.recipe.Outputs
}

func (g *Derivation) outputPaths() []storepath.Path { return pathsOf(g.known()) }

// locks are what nobody else may have while this is built.
func (g *Derivation) locks() []storepath.Path {
	if g.recipe.Unknown {
		return g.recipe.more.Locks
	}
	return g.outputPaths()
}

func pathsOf(outputs []messages.Output) []storepath.Path {
	paths := make([]storepath.Path, len(outputs))
	for i, o := range outputs {
		paths[i] = o.Path
	}
	return paths
}
