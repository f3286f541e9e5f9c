// Package goal holds the goals: machines that make one thing valid each.
package goal

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
	"troupe/storage/storepath"
)

// Derivation makes the outputs of one derivation valid.
//
// What is given back: the slot, the user, the locks. Each may be given back
// more than once, and by a goal that has none, so that one list serves every
// way out.
type Derivation struct {
	self   messages.Address
	policy *Policy // of all goals

	target    messages.Target
	keepGoing bool
	terms     messages.Terms
	recipe    recipe
	state     state
	log       string // where the build's log is

	there    []bool           // which outputs with known paths and, after them, sources are valid
	tried    []bool           // outputs that were to be fetched
	inputs   []storepath.Path // outputs of finished waitees, and sources
	waitees  int              // not yet done
	failures int              // waitees that failed
	flaws    messages.Flaw    // of the waitees that failed
	*seldom                   // to be changed by way of [Derivation.own] only

	result    messages.Result // once it is known
	cancelled bool            // the end of the builder is awaited
	dirty     bool            // the builder may leave processes behind
}

// state says what the goal waits for.
type state uint8

const (
	fresh              state = iota
	initial                  // the derivation is being read
	getDerivation            // it is not there, and awaited
	loadDerivation           // it was fetched and is being read
	haveDerivation           // which outputs are valid is being asked
	inspecting               // whether what is there is right is being looked at
	repairClosure            // what the outputs refer to is not, and is awaited
	seekRealisations         // where outputs without a path lie is being asked of substituters
	trySubstitutes           // outputs that are not valid are awaited, as far as they are wanted
	outputsSubstituted       // not all can be substituted; inputs are awaited
	resolving                // all inputs are valid; the derivation without them is being made
	resolved                 // that one is awaited
	recording                // that its outputs are this one's, or what was fetched, is being noted
	inputsRealised           // all inputs are valid; a slot is awaited
	tryToBuild               // has a slot; the locks are being taken
	lockedElsewhere          // has no slot; another owner has a lock
	slotAgain                // has the locks; a slot is awaited
	recheck                  // has both; somebody may have built it meanwhile
	wantUser                 // a build user is awaited
	preparing                // directory, root and environment are being made, or a machine is being connected to
	retrying                 // the machine was lost; what is left of the build is being deleted
	building                 // the child runs
	buildDone                // the outputs are being checked and moved
	registering              // the outputs are becoming valid
	discarding               // the build's directories are being deleted
	done                     // the worker knows the result
)

var stateNames = [...]string{
	"new", "init", "getDerivation", "loadDerivation", "haveDerivation", "inspecting", "repairClosure", "seekRealisations", "trySubstitutes", "outputsSubstituted",
	"resolving", "resolved", "recording", "inputsRealised", "tryToBuild", "lockedElsewhere",
	"slotAgain", "recheck", "wantUser", "preparing", "retrying", "building", "buildDone", "registering", "discarding", "done",
}

func (s state) String() string { return stateNames[s] }

// NewDerivation makes the machine of the derivation goal at an address.
func NewDerivation(self messages.Address, p *Policy) *Derivation {
	return &Derivation{self: self, policy: p, recipe: recipe{more: &nothingMore}, seldom: &nothingSeldom}
}

func (g *Derivation) String() string {
	if g.state == outputsSubstituted || g.state == trySubstitutes || g.state == repairClosure {
		return fmt.Sprintf("%v waitees=%d failed=%d", g.state, g.waitees, g.failures)
	}
	return g.state.String()
}

// Step implements [host.Machine].
func (g *Derivation) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.CancelGoal:
		return g.onCancel()
	case *messages.WidenGoal:
		return g.onWiden(m)
	case *messages.Realise:
		g.expect(m, fresh)
	case *messages.ActorFailed:
		if g.state != building || m.Actor != g.child() {
			return nil // it had told all there is to tell
		}
		out := g.discard(messages.Result{Status: messages.MiscFailure, Error: m.Reason})
		return append(out, host.Send{To: messages.Clock, Msg: &messages.CancelTimer{Owner: g.child()}})
	}
	if g.state == done {
		return nil // an answer to what was asked before the end
	}
	if g.state < tryToBuild {
		return g.stepInputs(m)
	}
	if g.state < building {
		return g.stepTry(m)
	}
	return g.stepBuild(m)
}

func (g *Derivation) onCancel() []host.Effect {
	switch {
	case g.state == preparing && !g.place.Here():
		g.cancelled = true // a machine may take long to answer
		return []host.Effect{host.Send{To: messages.Builds, Msg: &messages.EndHooks{Build: g.self}}}
	case g.state == preparing, g.state == retrying:
		g.cancelled = true
		return nil
	case g.state < building:
		return g.finish(messages.Result{Status: messages.Cancelled, Error: "cancelled"})
	case g.state == buildDone:
		return []host.Effect{host.Send{To: messages.Builds, Msg: &messages.EndHooks{Build: g.self}}}
	case g.state == building && !g.cancelled:
		g.cancelled = true
		return []host.Effect{host.Send{To: g.child(), Msg: &messages.KillChild{}}}
	}
	return nil
}

func (g *Derivation) onWiden(m *messages.WidenGoal) []host.Effect {
	g.target.Outputs = messages.MergeOutputs(g.target.Outputs, m.Outputs)
	g.keepGoing = g.keepGoing || m.KeepGoing
	return nil
}

// finish gives everything back and reports the result.
func (g *Derivation) finish(r messages.Result) []host.Effect {
	out := []host.Effect{host.Send{To: messages.Worker, Msg: &messages.DropWaitees{From: g.self}}}
	if g.state == seekRealisations {
		out = append(out, host.Send{To: messages.Caches, Msg: &messages.KillFetch{Goal: g.self}})
	}
	out = append(out, g.giveBack()...)
	return append(out, g.become(done, r)...)
}

func (g *Derivation) giveBack() []host.Effect {
	if g.state < inputsRealised {
		return nil
	}
	return []host.Effect{
		host.Send{To: messages.BuildUsers, Msg: &messages.ReleaseBuildUser{Goal: g.self, Dirty: g.dirty}},
		host.Send{To: messages.PathLocks, Msg: &messages.UnlockPaths{Goal: g.self}},
		host.Send{To: messages.Slots, Msg: &messages.ReleaseSlot{Goal: g.self}},
	}
}

// discard deletes the build's directories and then finishes with r.
func (g *Derivation) discard(r messages.Result) []host.Effect {
	return append(g.become(discarding, r),
		host.Send{To: messages.Builds, Msg: &messages.DiscardBuild{Build: g.self, Status: r.Status}})
}

func (g *Derivation) child() messages.Address { return childOf(g.self, len(g.losses)) }

// childOf names the child of a goal that has lost some. They have an address each,
// so that a timer of one that fires late is not another's.
func childOf(goal messages.Address, lost int) messages.Address {
	if lost == 0 {
		return "child/" + goal
	}
	return messages.Address(fmt.Sprintf("child/%d/%s", lost+1, goal))
}

func (g *Derivation) expect(m messages.Message, allowed ...state) {
	for _, s := range allowed {
		if g.state == s {
			return
		}
	}
	panic(fmt.Sprintf("%s in state %v: unexpected %v", g.self, g.state, m))
}

// become is the only assignment to the state and to the result, and tells the
// observers.
func (g *Derivation) become(next state, r messages.Result) []host.Effect {
	g.state, g.result = next, r
	if next == done {
		r.Flaw |= r.Status.Flaw()
		return []host.Effect{
			host.Send{To: messages.Progress, Msg: &messages.GoalEnded{Goal: g.self, Drv: g.target.Path, Result: r, Log: g.log}},
			host.Send{To: messages.Worker, Msg: &messages.GoalFinished{From: g.self, Result: r}},
		}
	}
	return []host.Effect{host.Send{To: messages.Progress, Msg: &messages.GoalChanged{
		Goal: g.self, Drv: g.target.Path, State: next.String(), Wait: g.wait(), Log: g.log, Machine: g.machine()}}}
}

// enter is become where there is no result yet.
func (g *Derivation) enter(next state) []host.Effect { return g.become(next, messages.Result{}) }

// wait is why the goal does not go on.
func (g *Derivation) wait() messages.Wait {
	switch g.state {
	case resolved:
		return messages.Wait{For: messages.Inputs, Detail: "the resolved derivation"}
	case seekRealisations:
		return messages.Wait{For: messages.Substituter}
	case getDerivation, repairClosure, trySubstitutes, outputsSubstituted:
		return messages.Wait{For: messages.Inputs, Detail: fmt.Sprintf("%d left", g.waitees)}
	case inputsRealised, slotAgain:
		if g.awaits != "" {
			return messages.Wait{For: messages.AnyMachine, Detail: g.awaits}
		}
		return messages.Wait{For: messages.BuildSlot}
	case lockedElsewhere:
		return messages.Wait{For: messages.PathLock}
	case wantUser:
		return messages.Wait{For: messages.FreeUser}
	}
	return messages.Wait{}
}
