package goal

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
)

// KindChild is the kind of machine that a derivation goal spawns.
const KindChild host.Kind = "child"

// stepTry handles the states from tryToBuild to preparing: gather what a build
// needs, in an order in which nothing scarce is held idle.
func (g *Derivation) stepTry(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.LocksHeld:
		g.expect(m, tryToBuild, lockedElsewhere)
		if g.state == lockedElsewhere {
			return g.wantSlot(slotAgain)
		}
		return append(g.enter(recheck), g.query(g.outputPaths()))
	case *messages.LocksBusy:
		g.expect(m, tryToBuild, lockedElsewhere)
		if g.state == lockedElsewhere {
			return nil // of another process now, and before of a goal of ours
		}
		return append(g.enter(lockedElsewhere), host.Send{To: messages.Slots, Msg: &messages.ReleaseSlot{Goal: g.self}})
	case *messages.LocksFailed:
		g.expect(m, tryToBuild, lockedElsewhere)
		return g.finish(messages.Result{Status: messages.MiscFailure, Error: m.Reason})
	case *messages.SlotFree:
		g.expect(m, slotAgain)
		g.on(m.Place, g.awaits)
		return append(g.enter(recheck), g.query(g.outputPaths()))
	case *messages.SlotAwaited:
		g.expect(m, slotAgain)
		return g.onAwaited(m)
	case *messages.SlotRefused:
		g.expect(m, slotAgain)
		return g.onRefused(m)
	case *messages.PathsQueried:
		g.expect(m, recheck)
		return g.onRechecked(m)
	case *messages.BuildUserGranted:
		g.expect(m, wantUser)
		return g.prepare(messages.PrepareBuild{User: m.User})
	case *messages.BuildUserRefused:
		g.expect(m, wantUser)
		return g.finish(messages.Result{Status: messages.MiscFailure, Error: m.Reason})
	case *messages.BuildPrepared:
		g.expect(m, preparing)
		return g.onPrepared(m)
	case *messages.BuildNotPrepared:
		g.expect(m, preparing)
		if m.Lost {
			return g.onLost(m.Reason)
		}
		return g.discard(messages.Result{Status: m.Status, Error: m.Reason})
	case *messages.BuildDiscarded:
		g.expect(m, retrying)
		return g.retry()
	}
	panic(fmt.Sprintf("%s in state %v: unexpected %v", g.self, g.state, m))
}

func (g *Derivation) onRechecked(m *messages.PathsQueried) []host.Effect {
	if m.Error != "" {
		return g.finish(messages.Result{Status: messages.MiscFailure, Error: m.Error})
	}
	g.queried(m.Valid, m.Outputs)
	if end, ended := g.ended(m.Failed); ended {
		return g.report(end, m.Provisional)
	}
	if !g.place.Here() {
		return g.prepare(messages.PrepareBuild{Place: g.place, Limits: g.terms.Limits})
	}
	return append(g.enter(wantUser), host.Send{To: messages.BuildUsers, Msg: &messages.AcquireBuildUser{Goal: g.self, Nests: g.recipe.Nests}})
}

// prepare asks for all that the build needs where it is made.
func (g *Derivation) prepare(m messages.PrepareBuild) []host.Effect {
	m.Build, m.Drv, m.Mode, m.Inputs, m.Replace, m.Settings = g.self, g.target.Path, g.target.Mode, g.inputs, g.wrong, g.terms.Settings
	return append(g.enter(preparing), host.Send{To: messages.Builds, Msg: &m})
}

func (g *Derivation) onPrepared(m *messages.BuildPrepared) []host.Effect {
	if g.cancelled {
		return g.discard(messages.Result{Status: messages.Cancelled, Error: "cancelled"})
	}
	g.log = m.Log
	limits := g.terms.Limits
	var out []host.Effect
	if g.place.Here() {
		g.inputs, g.dirty = nil, !m.Contained
	} else { // it may be tried again; and whoever builds it keeps the limits
		limits = messages.Limits{}
		out = g.answered()
	}
	for _, w := range m.Warnings {
		out = append(out, g.warn(w)...)
	}
	return append(append(out, g.enter(building)...),
		host.Spawn{Actor: g.child(), Kind: KindChild},
		host.Send{To: g.child(), Msg: &messages.StartChild{Goal: g.self, Build: g.self, Limits: limits}})
}

// stepBuild handles the states from building to the end.
func (g *Derivation) stepBuild(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.ChildOutput:
		g.expect(m, building)
		return []host.Effect{host.Send{To: messages.Progress, Msg: &messages.GoalLine{Goal: g.self, Line: m.LastLine}}}
	case *messages.BuilderExited:
		g.expect(m, building)
		return append([]host.Effect{host.Stop{Actor: g.child()}}, g.onExited(m)...)
	case *messages.BuildFinished:
		g.expect(m, buildDone)
		return g.onFinished(m.Outputs)
	case *messages.BuildRejected:
		g.expect(m, buildDone)
		return g.fail(messages.Result{Status: m.Status, Flaw: m.Flaw, Error: m.Reason})
	case *messages.PathsRegistered:
		g.expect(m, registering)
		return g.discard(g.result)
	case *messages.BuildDiscarded:
		g.expect(m, discarding)
		return g.onDiscarded(m)
	}
	panic(fmt.Sprintf("%s in state %v: unexpected %v", g.self, g.state, m))
}

func (g *Derivation) onExited(m *messages.BuilderExited) []host.Effect {
	if g.cancelled {
		return g.discard(messages.Result{Status: messages.Cancelled, Error: "cancelled"})
	}
	if m.Cause == messages.MachineLost {
		return g.onLost(m.Error)
	}
	if m.Cause == messages.Exited && m.Exit.Signal == 0 && m.Exit.Code == 0 {
		out := g.become(buildDone, messages.Result{Duration: m.Exit.Wall})
		return append(out, host.Send{To: messages.Builds, Msg: &messages.FinishBuild{Build: g.self}})
	}
	return g.fail(g.builderFailed(m))
}

// onFinished registers what was built. What was only checked is registered, too,
// as far as it is valid: it may not be on disk yet.
func (g *Derivation) onFinished(outputs []messages.Output) []host.Effect {
	if g.target.Mode == messages.Check {
		outputs, _ = g.covered()
	}
	r := g.valid(messages.Built, outputs)
	r.Duration = g.result.Duration
	return append(g.become(registering, r), host.Send{To: messages.Store, Msg: &messages.RegisterPaths{From: g.self, Paths: pathsOf(outputs)}})
}

// fail ends a build that went wrong, and remembers it where that is wanted. A
// fixed output's failure is not remembered: it says more about a server than
// about the derivation; and nor is that of outputs without paths.
func (g *Derivation) fail(r messages.Result) []host.Effect {
	out := g.discard(r)
	if g.policy.CacheFailure && !g.recipe.Fixed && !g.recipe.Unknown && r.Status == messages.PermanentFailure {
		out = append(out, host.Send{To: messages.Database, Msg: &messages.RecordFailure{Paths: g.outputPaths(), Status: r.Status}})
	}
	return out
}

func (g *Derivation) onDiscarded(m *messages.BuildDiscarded) []host.Effect {
	r := g.result
	if m.Kept != "" {
		r.Error += fmt.Sprintf("\nnote: keeping build directory \"%s\"", m.Kept) // quoted as Nix 2.34 does
	}
	return g.finish(r)
}
