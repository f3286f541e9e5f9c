package worker

import (
	"slices"
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// entry is one goal. As there are many, it points at what messages have anyhow.
type entry struct {
	key      messages.GoalKey
	actor    messages.Address
	target   *messages.Target // with all the outputs that anybody wants; not changed
	terms    *messages.Terms
	wants    []*want    // who waits for it, in order of arrival
	audience []uint64   // the requests that it is needed for
	waitees  []*want    // what it waits for, and has waited for
	nested   []*request // what its builder has asked for
	weight   time.Duration
	epoch    uint64 // the newest request when it was made
	rank     messages.RankGoal
	level    int    // see level.go
	mark     uint64 // the newest look that came by it
	above    int    // how many wait for it that a look has still to come to

	keepGoing bool
	state     state
	untold    bool // its rank rose in the step under way
	failed    bool // it panicked, and is being cleaned up
}

// CleanUps begin the addresses of what cleans up after goals that panicked; the goal's
// follows.
const CleanUps = "clean-up/"

func (e *entry) cleanUp() messages.Address { return CleanUps + e.actor }

type state uint8

const (
	running state = iota
	leaving       // told to cancel; wants that come now are served by the next incarnation
	gone          // its actor has stopped
)

// want is one edge of the graph: somebody waits for a goal.
type want struct {
	target  *messages.Target // in the message that asked for it
	goal    *entry           // a goal wants it …
	request *request         // … or a request does, as its index-th target
	of      *entry           // the goal that serves it
	index   int32
	over    bool // answered or withdrawn
}

// from is the goal that waits, also where it is its builder that does; nil
// where nobody but a client does.
func (x *want) from() *entry {
	if x.goal != nil {
		return x.goal
	}
	return x.request.within
}

// needs yields what a goal waits for, and what its builder does.
func (e *entry) needs(yield func(*want) bool) {
	if !open(e.waitees, yield) {
		return
	}
	for _, r := range e.nested {
		if !open(r.wants, yield) {
			return
		}
	}
}

// open yields those that are served and not over; it reports whether to go on.
func open(wants []*want, yield func(*want) bool) bool {
	for _, x := range wants {
		if !x.over && x.of != nil && !yield(x) {
			return false
		}
	}
	return true
}

func (x *want) keepGoing() bool {
	if x.goal != nil {
		return x.goal.keepGoing
	}
	return x.request.keepGoing
}

func (x *want) terms() *messages.Terms {
	if x.goal != nil {
		return x.goal.terms
	}
	return x.request.terms
}

// rank is what the one who wants lends to the goal wanted.
func (x *want) rank() messages.RankGoal {
	if from := x.from(); from != nil {
		r := from.rank
		r.Remaining += from.weight
		r.Lends = false
		return r
	}
	return messages.RankGoal{Client: x.request.client, Urgency: x.request.urgency, Jobs: x.request.terms.Jobs}
}

// serve adds an edge, and the goal if it is not there. An edge to a goal that
// is leaving is served by its next incarnation.
func (w *Worker) serve(x *want) {
	e := w.goals[x.target.Key()]
	if e == nil {
		e = w.spawn(x)
	}
	x.of = e
	e.wants = append(e.wants, x)
	if e.state == leaving {
		return
	}
	w.widen(e, x)
	if !w.order(x) {
		w.withdraw(x)
		w.deliver(x, messages.Result{Status: messages.DependencyFailed, Error: w.cycle(*x.from().target)})
		return
	}
	w.hurry(e, x.rank())
	w.lengthen(x)
	w.attend(e, x.audience())
}

func (w *Worker) cycle(t messages.Target) string {
	if !t.IsBuild() { // as a cache has it that lies
		return "path '" + w.storeDir.Join(t.Path) + "' refers to itself by way of others"
	}
	return "derivation '" + w.storeDir.Join(t.Path) + "' depends on itself"
}

func (w *Worker) spawn(x *want) *entry {
	e := &entry{key: x.target.Key(), target: x.target, keepGoing: x.keepGoing(), terms: x.terms(), weight: weigh(0)}
	w.goals[e.key] = e
	w.start(e, x.rank())
	return e
}

// start gives an entry an actor.
func (w *Worker) start(e *entry, rank messages.RankGoal) {
	e.actor, e.state, e.epoch = w.address(e.key), running, w.arrivals
	w.alive[e.epoch]++
	e.rank = rank
	e.rank.Goal = e.actor
	w.actors[e.actor] = e
	kind := KindSubstitution
	if e.target.IsBuild() {
		kind = KindDerivation
	}
	r := e.rank
	w.send(messages.Slots, &r)
	w.out = append(w.out, host.Spawn{Actor: e.actor, Kind: kind})
	w.send(e.actor, &messages.Realise{Target: *e.target, KeepGoing: e.keepGoing, Terms: *e.terms})
}

// widen tells a goal that it is wanted for more than it knew.
func (w *Worker) widen(e *entry, x *want) {
	keepGoing := x.keepGoing()
	outputs := messages.MergeOutputs(e.target.Outputs, x.target.Outputs)
	if slices.Equal(outputs, e.target.Outputs) && (e.keepGoing || !keepGoing) {
		return
	}
	target := *e.target
	target.Outputs = outputs
	e.target, e.keepGoing = &target, e.keepGoing || keepGoing
	w.send(e.actor, &messages.WidenGoal{Outputs: outputs, KeepGoing: e.keepGoing})
}

// audience is which requests the one who wants is there for.
func (x *want) audience() []uint64 {
	if x.goal != nil {
		return x.goal.audience
	}
	if in := x.request.within; in != nil { // whoever waits for the builder sees it, too
		return append([]uint64{x.request.id}, in.audience...)
	}
	return []uint64{x.request.id}
}

// attend lets a goal, and all below it, be needed for requests. There are no
// cycles.
func (w *Worker) attend(e *entry, requests []uint64) {
	var fresh []uint64
	for _, r := range requests {
		if !slices.Contains(e.audience, r) {
			fresh = append(fresh, r)
		}
	}
	if len(fresh) == 0 || e.state == leaving {
		return
	}
	e.audience = append(e.audience, fresh...)
	w.send(messages.Progress, &messages.GoalWanted{Goal: e.actor, Requests: fresh})
	for x := range e.needs {
		w.attend(x.of, fresh)
	}
}

// withdraw removes an edge; a goal that nobody wants then is cancelled.
func (w *Worker) withdraw(x *want) {
	e := x.of
	x.over = true
	if e == nil { // its turn has not come
		return
	}
	e.wants = slices.DeleteFunc(e.wants, func(y *want) bool { return y == x })
	if len(e.wants) == 0 && e.state == running {
		e.state = leaving
		w.send(e.actor, &messages.CancelGoal{})
	}
}

func (w *Worker) dropWaitees(e *entry) {
	for _, x := range e.waitees {
		if !x.over {
			w.withdraw(x)
		}
	}
	e.waitees = nil
	for _, r := range slices.Clone(e.nested) {
		w.cancel(r)
	}
}
