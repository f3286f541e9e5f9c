// Package worker owns the goals.
package worker

import (
	"fmt"
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
	born     map[messages.GoalKey]int // how many incarnations a key has had
	resting  []messages.Address       // who waits for rest
	out      []host.Effect            // of the step under way
}

// New makes the worker of a process.
func New(dir storepath.Dir) *Worker {
	return &Worker{
		storeDir: dir,
		goals:    map[messages.GoalKey]*entry{},
		actors:   map[messages.Address]*entry{},
		requests: map[uint64]*request{},
		born:     map[messages.GoalKey]int{},
	}
}

func (w *Worker) String() string {
	return fmt.Sprintf("requests=%d goals=%d", len(w.requests), len(w.goals))
}

// The kinds of machine that the worker spawns.
const (
	KindDerivation   host.Kind = "derivation-goal"
	KindSubstitution host.Kind = "substitution-goal"
)

// Step implements [host.Machine].
func (w *Worker) Step(m messages.Message) []host.Effect {
	w.out = nil
	switch m := m.(type) {
	case *messages.RealiseTargets:
		w.onRealise(m)
	case *messages.CancelRequest:
		if r := w.requests[m.Request]; r != nil {
			w.cancel(r)
		}
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
	case *messages.PathsDurable:
		w.answer(w.requests[m.Ticket], "")
	case *messages.PathsNotDurable:
		w.answer(w.requests[m.Ticket], m.Reason)
	default:
		panic(fmt.Sprintf("%v: unexpected %v", w, m))
	}
	w.tellRest()
	return w.out
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

// address names a goal's actor. Addresses are not used twice, so the second
// and later incarnations of a goal are numbered.
func (w *Worker) address(k messages.GoalKey) messages.Address {
	w.born[k]++
	if n := w.born[k]; n > 1 {
		return messages.Address(fmt.Sprintf("%s~%d", k, n))
	}
	return messages.Address(k)
}

func (w *Worker) onAwait(m *messages.AwaitGoals) {
	e := w.actors[m.From]
	if e == nil || e.state == leaving {
		return // it was cancelled meanwhile
	}
	e.weight = weigh(m.Expected)
	for _, t := range m.Waitees {
		x := &want{target: t, goal: e}
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

func (w *Worker) onActorFailed(m *messages.ActorFailed) {
	e := w.actors[m.Actor]
	if e == nil {
		return
	}
	w.dropWaitees(e)
	w.send(messages.BuildUsers, &messages.ReleaseBuildUser{Goal: e.actor, Dirty: true})
	w.send(messages.PathLocks, &messages.UnlockPaths{Goal: e.actor})
	w.send("child/"+e.actor, &messages.KillChild{})
	reason, _, _ := strings.Cut(m.Reason, "\n")
	w.onFinished(e, messages.Result{Status: messages.MiscFailure,
		Error: fmt.Sprintf("goal for '%s' panicked: %s", w.storeDir.Join(e.target.Path), reason)})
}
