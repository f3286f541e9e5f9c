// Package worker owns the goals.
package worker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"troupe/actors/host"
	"troupe/messages"
	"troupe/storage/storepath"
)

// Worker serves every client with one set of goals. It alone knows who waits
// for whom: a goal that two want exists once, and one that nobody wants any
// more is cancelled.
//
// A want that is withdrawn and was the last: CancelGoal. A goal that ends with
// less than somebody wanted since, or cancelled and wanted again, is made anew.
//
// A goal is running or, after CancelGoal, leaving; see [entry]. Requests are
// open, then being made durable, then answered and forgotten.
type Worker struct {
	storeDir storepath.Dir
	goals    map[messages.GoalKey]*entry
	actors   map[messages.Address]*entry
	requests map[uint64]*request
	named    map[messages.GoalKey]bool // keys whose plain address was used
	arrivals uint64                    // requests ever
	alive    map[uint64]int            // by arrival: the requests, and goals made before the next, that are not over
	oldest   uint64                    // the first arrival of which any is, or the next to come
	serial   uint64                    // of the newest address that is not plain
	resting  []messages.Address        // who waits for rest
	gone     map[messages.Address]bool // clients that were forgotten; what they sent before may come after
	out      []host.Effect             // of the step under way
	untold   []*entry                  // whose ranks rose in it
	longer   []*want                   // edges that make a path longer, noted until the timer fires
	look     uint64                    // the newest at some of the graph; see [entry]
}

// New makes the worker of a process.
func New(dir storepath.Dir) *Worker {
	return &Worker{
		storeDir: dir,
		goals:    map[messages.GoalKey]*entry{},
		actors:   map[messages.Address]*entry{},
		requests: map[uint64]*request{},
		named:    map[messages.GoalKey]bool{},
		serial:   1,
		alive:    map[uint64]int{},
		oldest:   1,
		gone:     map[messages.Address]bool{},
	}
}

func (w *Worker) String() string {
	return fmt.Sprintf("requests=%d goals=%d", len(w.requests), len(w.goals))
}

// The kinds of machine that the worker spawns.
const (
	KindDerivation   host.Kind = "derivation-goal"
	KindSubstitution host.Kind = "substitution-goal"
	KindCleanUp      host.Kind = "goal-clean-up"
)

// Step implements [host.Machine].
func (w *Worker) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.RealiseTargets:
		w.onRealise(m)
	case *messages.CancelRequest:
		if r := w.requests[m.Request]; r != nil {
			w.cancel(r)
		}
	case *messages.ForgetClient:
		w.forget(m.Client)
	case *messages.AwaitGoals:
		w.onAwait(m)
	case *messages.DropWaitees:
		if e := w.actors[m.From]; e != nil {
			w.dropWaitees(e)
		}
	case *messages.GoalFinished:
		w.onFinished(w.actors[m.From], m.Result)
	case *messages.ActorFailed:
		w.onActorFailed(m)
	case *messages.AwaitRest:
		w.resting = append(w.resting, m.From)
	case *messages.TimerFired:
		w.measure()
	case *messages.PathsDurable:
		w.answer(w.requests[m.Ticket], "")
	case *messages.PathsNotDurable:
		w.answer(w.requests[m.Ticket], m.Reason)
	default:
		panic(fmt.Sprintf("%v: unexpected %v", w, m))
	}
	w.tellRanks()
	w.tellRest()
	out := w.out
	w.out = nil // of a step that makes thousands of goals they are MBs
	return out
}

// tellRest answers [messages.AwaitRest] once there is nothing left to do.
func (w *Worker) tellRest() {
	if len(w.goals) > 0 || len(w.requests) > 0 {
		return
	}
	for _, a := range w.resting {
		w.send(a, &messages.AtRest{})
	}
	w.resting = nil
}

func (w *Worker) send(to messages.Address, m messages.Message) {
	w.out = append(w.out, host.Send{To: to, Msg: m})
}

// maxNamed bounds the addresses that are remembered.
const maxNamed = 1 << 16

// address names a goal's actor. Addresses are not used twice, so that all but
// the first of a key are numbered, and in the long run all.
func (w *Worker) address(k messages.GoalKey) messages.Address {
	if !w.named[k] && len(w.named) < maxNamed {
		w.named[k] = true
		return messages.Address(k)
	}
	w.serial++
	return messages.Address(fmt.Sprintf("%s~%d", k, w.serial))
}

func (w *Worker) onAwait(m *messages.AwaitGoals) {
	e := w.actors[m.From]
	if e == nil || e.state == leaving {
		return // it was cancelled meanwhile
	}
	e.weight = weigh(m.Expected)
	wants := make([]want, len(m.Waitees)) // at once: these are the most of what a graph takes
	e.waitees = slices.Grow(e.waitees, len(wants))
	for i := range wants {
		x := &wants[i]
		x.target, x.goal = &m.Waitees[i], e
		e.waitees = append(e.waitees, x)
		w.serve(x)
	}
}

// weigh is what a build counts on a path; unknown ones count a second.
func weigh(expected time.Duration) time.Duration {
	if expected == 0 {
		return time.Second
	}
	return expected
}

// onActorFailed has cleaned up what a goal had that panicked. Until that is done
// the goal is leaving: whoever wants it meanwhile gets its next incarnation.
func (w *Worker) onActorFailed(m *messages.ActorFailed) {
	if goal, ours := strings.CutPrefix(string(m.Actor), CleanUps); ours {
		w.finishFailed(w.actors[messages.Address(goal)], m.Reason) // what it has stays lost
		return
	}
	e := w.actors[m.Actor]
	if e == nil || e.failed {
		return // it had finished, or this is said twice
	}
	w.dropWaitees(e)
	e.state, e.failed = leaving, true
	w.out = append(w.out, host.Spawn{Actor: e.cleanUp(), Kind: KindCleanUp})
	w.send(e.cleanUp(), &messages.CleanUpGoal{Goal: e.actor, Fetch: !e.target.IsBuild(), Result: w.panicked(e, m.Reason)})
}

func (w *Worker) finishFailed(e *entry, reason string) {
	if e != nil {
		w.onFinished(e, w.panicked(e, reason))
	}
}

func (w *Worker) panicked(e *entry, reason string) messages.Result {
	reason, _, _ = strings.Cut(reason, "\n")
	return messages.Result{Status: messages.MiscFailure,
		Error: fmt.Sprintf("goal for '%s' panicked: %s", w.storeDir.Join(e.target.Path), reason)}
}
