package goal

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
	"troupe/storage/storepath"
)

// Substitution makes one store path valid as it is, by fetching it. It asks one
// substituter after the other. From the first that has the path it is fetched, once
// all that it refers to is valid; if that fails, the next one is asked.
//
// What is given back: the slot, the lock, and what the caches port knows of the
// goal. See [substitutionTable].
type Substitution struct {
	self   messages.Address
	policy *Policy

	target    messages.Target
	keepGoing bool
	terms     messages.Terms
	state     substState

	cache    int // the substituter that is asked, or has the path
	found    messages.PathFound
	waitees  int           // references not yet done
	failures int           // references that failed
	missing  bool          // one of them because nobody has it
	flaws    messages.Flaw // of substituters that failed

	result messages.Result // once it is known
}

// substState says what the goal waits for.
type substState uint8

const (
	substFresh        substState = iota
	substInit                    // whether the path is valid is being asked
	tryNext                      // a substituter is being asked
	gotInfo                      // it has the path; which references are valid is being asked
	referencesAwaited            // those that are not are awaited
	referencesValid              // all are; a slot is awaited
	tryToRun                     // has a slot; the lock is being taken
	lockedByOther                // has no slot; another owner has the lock
	slotOnceMore                 // has the lock; a slot is awaited
	lookAgain                    // has both; somebody may have made it meanwhile
	fetching                     // the caches port fetches it
	killing                      // it was cancelled meanwhile; the end of the fetch is awaited
	finished                     // it is there and becomes valid
	substDone                    // the worker knows the result
)

var substNames = [...]string{
	"new", "init", "tryNext", "gotInfo", "referencesAwaited", "referencesValid", "tryToRun", "lockedElsewhere", "slotAgain",
	"recheck", "fetching", "killing", "finished", "done",
}

func (s substState) String() string { return substNames[s] }

// NewSubstitution makes the machine of the substitution goal at an address.
func NewSubstitution(self messages.Address, p *Policy) *Substitution {
	return &Substitution{self: self, policy: p}
}

func (g *Substitution) String() string {
	switch g.state {
	case tryNext:
		return fmt.Sprintf("%v cache=%d", g.state, g.cache)
	case referencesAwaited:
		return fmt.Sprintf("%v waitees=%d failed=%d", g.state, g.waitees, g.failures)
	}
	return g.state.String()
}

// Step implements [host.Machine].
func (g *Substitution) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.Realise:
		g.expect(m, substFresh)
		g.target, g.keepGoing, g.terms = m.Target, m.KeepGoing, m.Terms
		return append(g.enter(substInit), g.query(g.target.Path))
	case *messages.CancelGoal:
		return g.onCancel()
	case *messages.WidenGoal:
		g.keepGoing = g.keepGoing || m.KeepGoing
		return nil
	}
	switch {
	case g.state == substDone:
		return nil // an answer to what was asked before the end
	case g.state < referencesValid:
		return g.stepSearch(m)
	case g.state < fetching:
		return g.stepTry(m)
	}
	return g.stepFetch(m)
}

func (g *Substitution) onCancel() []host.Effect {
	switch {
	case g.state < fetching:
		return g.finish(messages.Result{Status: messages.Cancelled, Error: "cancelled"})
	case g.state == fetching:
		return append(g.enter(killing), host.Send{To: messages.Caches, Msg: &messages.KillFetch{Goal: g.self, From: g.self}})
	}
	return nil // what is nearly done is finished
}

func (g *Substitution) query(paths ...storepath.Path) host.Effect {
	return host.Send{To: messages.Database, Msg: &messages.QueryPaths{From: g.self, Paths: paths}}
}

// report finishes with the path being valid, which is registered first where it is
// not on disk yet.
func (g *Substitution) report(r messages.Result, provisional []storepath.Path) []host.Effect {
	if len(provisional) == 0 {
		return g.finish(r)
	}
	return append(g.become(finished, r), host.Send{To: messages.Store, Msg: &messages.RegisterPaths{From: g.self, Paths: provisional}})
}

// finish gives everything back and reports the result.
func (g *Substitution) finish(r messages.Result) []host.Effect {
	return append(g.giveBack(), g.become(substDone, r)...)
}

func (g *Substitution) giveBack() (out []host.Effect) {
	if g.state == referencesAwaited {
		out = append(out, host.Send{To: messages.Worker, Msg: &messages.DropWaitees{From: g.self}})
	}
	if g.state >= tryNext {
		out = append(out, host.Send{To: messages.Caches, Msg: &messages.KillFetch{Goal: g.self}})
	}
	if g.state >= referencesValid {
		out = append(out, g.release()...)
	}
	return out
}

// release gives the lock and the slot back.
func (g *Substitution) release() []host.Effect {
	return []host.Effect{
		host.Send{To: messages.PathLocks, Msg: &messages.UnlockPaths{Goal: g.self}},
		host.Send{To: messages.Slots, Msg: &messages.ReleaseSlot{Goal: g.self}},
	}
}

func (g *Substitution) broken(reason string) []host.Effect {
	return g.finish(messages.Result{Status: messages.MiscFailure, Error: reason})
}

func (g *Substitution) warn(text string) []host.Effect {
	if text == "" {
		return nil
	}
	return []host.Effect{host.Send{To: messages.Progress, Msg: &messages.GoalWarned{Goal: g.self, Text: text}}}
}

func (g *Substitution) expect(m messages.Message, allowed ...substState) {
	for _, s := range allowed {
		if g.state == s {
			return
		}
	}
	panic(fmt.Sprintf("%s in state %v: unexpected %v", g.self, g.state, m))
}

// become is the only assignment to the state and to the result, and tells the
// observers.
func (g *Substitution) become(next substState, r messages.Result) []host.Effect {
	g.state, g.result = next, r
	if next == substDone {
		return []host.Effect{
			host.Send{To: messages.Progress, Msg: &messages.GoalEnded{Goal: g.self, Drv: g.target.Path, Result: r}},
			host.Send{To: messages.Worker, Msg: &messages.GoalFinished{From: g.self, Result: r}},
		}
	}
	return []host.Effect{host.Send{To: messages.Progress, Msg: &messages.GoalChanged{
		Goal: g.self, Drv: g.target.Path, State: next.String(), Wait: g.wait()}}}
}

// enter is become where there is no result yet.
func (g *Substitution) enter(next substState) []host.Effect { return g.become(next, messages.Result{}) }

// wait is why the goal does not go on.
func (g *Substitution) wait() messages.Wait {
	switch g.state {
	case tryNext:
		return messages.Wait{For: messages.Substituter}
	case referencesAwaited:
		return messages.Wait{For: messages.Inputs, Detail: fmt.Sprintf("%d left", g.waitees)}
	case referencesValid, slotOnceMore:
		return messages.Wait{For: messages.SubstitutionSlot}
	case lockedByOther:
		return messages.Wait{For: messages.PathLock}
	}
	return messages.Wait{}
}
