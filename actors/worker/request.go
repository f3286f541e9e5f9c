package worker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"troupe/actors/host"
	"troupe/messages"
	"troupe/storage/storepath"
)

// request is one client's [messages.RealiseTargets].
type request struct {
	id        uint64
	arrival   uint64 // requests are counted as they come
	client    messages.Address
	keepGoing bool
	urgency   int
	terms     *messages.Terms
	wants     []*want
	open      int // wants that are not over
	results   []messages.Result
	targets   []messages.Target
	settled   bool   // being made durable
	forgotten bool   // its client is gone: nobody is answered
	within    *entry // whose builder asks, or nil
}

func (w *Worker) onRealise(m *messages.RealiseTargets) {
	if w.requests[m.Request] != nil {
		panic(fmt.Sprintf("%v: request %d is made twice", w, m.Request))
	}
	if w.gone[m.Client] {
		return
	}
	w.arrivals++
	r := &request{id: m.Request, arrival: w.arrivals, client: m.Client, keepGoing: m.KeepGoing, urgency: m.Urgency, terms: &m.Terms,
		results: make([]messages.Result, len(m.Targets)), targets: m.Targets}
	w.requests[r.id] = r
	w.alive[r.arrival]++
	for i := range m.Targets {
		r.wants = append(r.wants, &want{target: &m.Targets[i], request: r, index: int32(i)})
	}
	r.open = len(r.wants)
	if m.Within != "" && !w.nest(r, m.Within) {
		w.cancel(r)
		return
	}
	for _, x := range r.inOrder() {
		if !x.over { // what was before it may have ended the request
			w.serve(x)
		}
	}
	w.settle(r)
}

// nest makes a request that of a goal's builder; it reports false where nobody
// waits for that builder any more.
func (w *Worker) nest(r *request, goal messages.Address) bool {
	e := w.actors[goal]
	if e == nil || e.state != running {
		return false
	}
	r.within, r.terms = e, e.terms
	e.nested = append(e.nested, r)
	w.lend(e)
	return true
}

// leaveNest ends that a goal waits for a request of its builder.
func (w *Worker) leaveNest(r *request) {
	if e := r.within; e != nil {
		e.nested = slices.DeleteFunc(e.nested, func(o *request) bool { return o == r })
		w.lend(e)
	}
}

// lend tells the slots whether a goal's builder waits.
func (w *Worker) lend(e *entry) {
	if lends := len(e.nested) > 0; lends != e.rank.Lends && e.state != gone {
		e.rank.Lends = lends
		told := e.rank
		w.send(messages.Slots, &told)
	}
}

// inOrder has the wants by the names of their paths, as Nix begins them: clients
// give them in the order of their hashes, which means nothing to anybody.
func (r *request) inOrder() []*want {
	sorted := slices.Clone(r.wants)
	slices.SortStableFunc(sorted, func(a, b *want) int { return strings.Compare(a.target.Path.Name(), b.target.Path.Name()) })
	return sorted
}

// cancel withdraws what a request still waits for.
func (w *Worker) cancel(r *request) {
	for _, x := range r.wants {
		if !x.over {
			r.open--
			r.results[x.index] = messages.Result{Status: messages.Cancelled, Error: "cancelled"}
			w.withdraw(x)
		}
	}
	w.settle(r)
}

// onFinished ends a goal's incarnation.
func (w *Worker) onFinished(e *entry, res messages.Result) {
	if e == nil {
		panic(fmt.Sprintf("%v: an unknown goal finished: %v", w, res))
	}
	w.retire(e)
	served, again := e.served(res)
	e.wants = nil
	for _, x := range served {
		if !x.over {
			w.deliver(x, res)
		}
	}
	for _, x := range again {
		if !x.over { // what was told just now may have withdrawn it
			w.serve(x)
		}
	}
}

// epoch is what a goal that ends now may still serve: whoever waits for what
// waited for it.
func (w *Worker) epoch() uint64 {
	if len(w.requests) == 0 {
		return 0
	}
	return w.arrivals
}

// served splits those who wait into those whom the result answers and those
// for whom the goal must be made anew: they came when it was leaving already,
// want an output that it did not look at, or a path that only the substituters of
// others were asked for.
func (e *entry) served(res messages.Result) (served, again []*want) {
	for _, x := range e.wants {
		late := res.Status == messages.Cancelled || (res.Status.OK() && !res.Covers(x.target.Outputs))
		elsewhere := !x.target.IsBuild() && !res.Status.OK() && *x.terms() != *e.terms
		if late || elsewhere {
			again = append(again, x)
		} else {
			served = append(served, x)
		}
	}
	return served, again
}

// retire stops a goal's actor and forgets the goal.
func (w *Worker) retire(e *entry) {
	e.state = gone
	delete(w.actors, e.actor)
	delete(w.goals, e.key)
	w.send(messages.Database, &messages.ReleasePaths{Owner: e.actor, Epoch: w.epoch()})
	w.send(messages.Slots, &messages.ForgetGoal{Goal: e.actor})
	if e.failed {
		w.out = append(w.out, host.Stop{Actor: e.cleanUp()})
	} else {
		w.out = append(w.out, host.Stop{Actor: e.actor})
	}
	w.ends(e.epoch)
}

// deliver tells one who waited how it ended. A request that stops at its
// first failure withdraws its other wants.
func (w *Worker) deliver(x *want, res messages.Result) {
	x.over = true
	if x.goal != nil {
		w.send(x.goal.actor, &messages.WaiteeDone{Waitee: *x.target, Result: res})
		return
	}
	r := x.request
	r.open--
	r.results[x.index] = res
	if !res.Status.OK() && !r.keepGoing {
		w.cancel(r)
		return
	}
	w.settle(r)
}

// settle goes on with a request that waits for no goal any more: what it made
// valid must be durable before it is told.
func (w *Worker) settle(r *request) {
	if r.open > 0 || r.settled {
		return
	}
	r.settled = true
	w.send(messages.Store, &messages.MakeDurable{From: messages.Worker, Ticket: r.id, Paths: r.valid()})
}

func (r *request) valid() (paths []storepath.Path) {
	for i, res := range r.results {
		switch {
		case !res.Status.OK():
		case r.targets[i].IsBuild():
			for _, o := range res.Outputs {
				paths = append(paths, o.Path)
			}
		default:
			paths = append(paths, r.targets[i].Path)
		}
	}
	return paths
}

// answer ends a request.
func (w *Worker) answer(r *request, notDurable string) {
	if notDurable != "" {
		for i, res := range r.results {
			if res.Status.OK() {
				r.results[i] = messages.Result{Status: messages.MiscFailure, Error: notDurable}
			}
		}
	}
	delete(w.requests, r.id)
	w.leaveNest(r)
	if !r.forgotten {
		w.send(messages.Database, &messages.KeepPaths{Owner: r.client, Paths: r.valid()})
		w.send(r.client, &messages.TargetsRealised{Request: r.id, Results: r.results})
	}
	w.ends(r.arrival)
}

// ends notes that a request, or a goal, of an epoch is over, and tells the
// database which epochs are. A goal outlives the request that it was made for
// when others want it, or its end is awaited, and so does what it was told is
// there.
func (w *Worker) ends(epoch uint64) {
	if w.alive[epoch]--; w.alive[epoch] == 0 {
		delete(w.alive, epoch)
	}
	before := w.oldest
	for w.oldest <= w.arrivals && w.alive[w.oldest] == 0 {
		w.oldest++
	}
	if w.oldest > before {
		w.send(messages.Database, &messages.EpochsOver{Before: w.oldest})
	}
}

// forget withdraws what a client that is gone has asked for.
func (w *Worker) forget(client messages.Address) {
	w.gone[client] = true
	var theirs []*request
	for _, r := range w.requests {
		if r.client == client {
			theirs = append(theirs, r)
		}
	}
	slices.SortFunc(theirs, func(a, b *request) int { return cmp.Compare(a.arrival, b.arrival) })
	for _, r := range theirs {
		r.forgotten = true
		w.leaveNest(r) // its builder has lost the connection that it waited on
		w.cancel(r)
	}
}
