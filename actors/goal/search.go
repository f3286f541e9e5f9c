package goal

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
	"troupe/storage/storepath"
)

// stepSearch handles the states before referencesValid: find a substituter that
// has the path, and make valid what the path refers to.
func (g *Substitution) stepSearch(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.PathsQueried:
		g.expect(m, substInit, gotInfo)
		switch {
		case m.Error != "":
			return g.broken(m.Error)
		case g.state == gotInfo:
			return g.onReferences(m)
		case m.Valid[0] && g.target.Mode != messages.Repair:
			return g.report(messages.Result{Status: messages.AlreadyValid}, m.Provisional)
		case g.terms.NoSubstitutes:
			return g.nobodyHasIt()
		}
		return g.ask(0)
	case *messages.PathFound:
		g.expect(m, tryNext)
		return g.onFound(m)
	case *messages.PathNotFound:
		g.expect(m, tryNext)
		return append(g.warn(m.Warning), g.next(m.More)...)
	case *messages.LookUpFailed:
		g.expect(m, tryNext)
		return g.onLookUpFailed(m)
	case *messages.WaiteeDone:
		g.expect(m, referencesAwaited)
		return g.onReference(m)
	}
	panic(fmt.Sprintf("%s in state %v: unexpected %v", g.self, g.state, m))
}

// ask asks one substituter.
func (g *Substitution) ask(cache int) []host.Effect {
	g.cache = cache
	return append(g.enter(tryNext), host.Send{To: messages.Caches, Msg: &messages.LookUpPath{
		From: g.self, Path: g.target.Path, CA: g.target.CA, Cache: cache, Settings: g.terms.Settings}})
}

// next asks the next substituter, if there is one.
func (g *Substitution) next(more bool) []host.Effect {
	if more {
		return g.ask(g.cache + 1)
	}
	return g.nobodyHasIt()
}

func (g *Substitution) nobodyHasIt() []host.Effect {
	text := "path '%s' does not exist and cannot be created"
	if g.flaws != 0 {
		text = "path '%s' is required, but there is no substituter that can build it"
	}
	return g.finish(messages.Result{Status: messages.NoSubstituters, Flaw: g.flaws, Error: fmt.Sprintf(text, g.policy.StoreDir.Join(g.target.Path))})
}

// onLookUpFailed goes on with the next substituter. Where there is none the
// failure is the goal's, as Nix has it, but with fallback.
func (g *Substitution) onLookUpFailed(m *messages.LookUpFailed) []host.Effect {
	if m.More || g.terms.Fallback {
		return append(g.warn(m.Reason), g.next(m.More)...)
	}
	return g.finish(messages.Result{Status: messages.MiscFailure, Flaw: messages.SubstituterFailed, Error: m.Reason})
}

func (g *Substitution) onFound(m *messages.PathFound) []host.Effect {
	g.found = *m
	told := host.Send{To: messages.Progress, Msg: &messages.GoalFetches{
		Goal: g.self, Path: g.target.Path, Cache: m.Name, NarSize: m.NarSize, Download: m.Download}}
	if len(m.References) == 0 {
		return append(g.wantSlot(referencesValid), told)
	}
	return append(g.enter(gotInfo), told, g.query(m.References...))
}

func (g *Substitution) onReferences(m *messages.PathsQueried) []host.Effect {
	var waitees []messages.Target
	for i, p := range g.found.References {
		if !m.Valid[i] {
			waitees = append(waitees, messages.Target{Path: p})
		}
	}
	if len(waitees) == 0 {
		return g.wantSlot(referencesValid)
	}
	g.waitees, g.failures, g.missing = len(waitees), 0, false
	return append(g.enter(referencesAwaited), host.Send{To: messages.Worker, Msg: &messages.AwaitGoals{From: g.self, Waitees: waitees}})
}

// onReference counts a reference that is done. One that nobody has does not keep
// the others from being fetched: a build may need them.
func (g *Substitution) onReference(m *messages.WaiteeDone) []host.Effect {
	g.waitees--
	r := m.Result
	if !r.Status.OK() {
		g.failures++
		g.flaws |= r.Flaw
		g.missing = g.missing || r.Flaw&messages.SubstituterFailed == 0
		if r.Status == messages.MiscFailure {
			return g.finish(r)
		}
	}
	switch {
	case g.failures > 0 && (g.waitees == 0 || !g.missing && !g.keepGoing):
		return g.finish(g.referencesFailed())
	case g.waitees > 0:
		return nil
	}
	return g.wantSlot(referencesValid)
}

// referencesFailed is as if nobody had the path, where nobody has one of its
// references.
func (g *Substitution) referencesFailed() messages.Result {
	r := messages.Result{Status: messages.DependencyFailed, Flaw: g.flaws, Error: fmt.Sprintf(
		"some references of path '%s' could not be realised", g.policy.StoreDir.Join(g.target.Path))}
	if g.missing {
		r.Flaw &^= messages.SubstituterFailed
	}
	return r
}

// wantSlot asks for a slot and waits for it in the state given.
func (g *Substitution) wantSlot(in substState) []host.Effect {
	return append(g.enter(in), host.Send{To: messages.Slots, Msg: &messages.AcquireSlot{Goal: g.self, Kind: messages.SubstitutionJob}})
}

// stepTry handles the states from referencesValid to recheck: take a slot and the
// lock, neither of which is held while the other is waited for.
func (g *Substitution) stepTry(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.SlotFree:
		g.expect(m, referencesValid, slotOnceMore)
		if g.state == slotOnceMore {
			return append(g.enter(lookAgain), g.query(g.target.Path))
		}
		return append(g.enter(tryToRun), host.Send{To: messages.PathLocks, Msg: &messages.LockPaths{
			Goal: g.self, Paths: []storepath.Path{g.target.Path}}})
	case *messages.LocksBusy:
		g.expect(m, tryToRun, lockedByOther)
		if g.state == lockedByOther {
			return nil // of another process now, and before of a goal of ours
		}
		return append(g.enter(lockedByOther), host.Send{To: messages.Slots, Msg: &messages.ReleaseSlot{Goal: g.self}})
	case *messages.LocksHeld:
		g.expect(m, tryToRun, lockedByOther)
		if g.state == lockedByOther {
			return g.wantSlot(slotOnceMore)
		}
		return append(g.enter(lookAgain), g.query(g.target.Path))
	case *messages.LocksFailed:
		g.expect(m, tryToRun, lockedByOther)
		return g.broken(m.Reason)
	case *messages.PathsQueried:
		g.expect(m, lookAgain)
		switch {
		case m.Error != "":
			return g.broken(m.Error)
		case m.Valid[0] && g.target.Mode != messages.Repair:
			return g.report(messages.Result{Status: messages.AlreadyValid}, m.Provisional)
		}
		return append(g.enter(fetching), host.Send{To: messages.Caches, Msg: &messages.FetchPath{
			From: g.self, Path: g.target.Path, Limits: g.terms.Limits, Repair: g.target.Mode == messages.Repair}})
	}
	panic(fmt.Sprintf("%s in state %v: unexpected %v", g.self, g.state, m))
}

// stepFetch handles the states from fetching to the end.
func (g *Substitution) stepFetch(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.PathFetched:
		g.expect(m, fetching, killing)
		if g.state == killing {
			return nil // it was too late; whoever wants the path finds it
		}
		return g.report(messages.Result{Status: messages.Substituted}, []storepath.Path{g.target.Path})
	case *messages.FetchFailed:
		g.expect(m, fetching, killing)
		if g.state == killing {
			return nil
		}
		if !m.Gone {
			g.flaws |= messages.SubstituterFailed
		}
		return append(append(g.warn(m.Reason), g.release()...), g.next(m.More)...)
	case *messages.FetchKilled:
		g.expect(m, killing)
		return g.finish(messages.Result{Status: messages.Cancelled, Error: "cancelled"})
	case *messages.PathsRegistered:
		g.expect(m, finished)
		return g.finish(g.result)
	}
	panic(fmt.Sprintf("%s in state %v: unexpected %v", g.self, g.state, m))
}
