package worker

import (
	"container/heap"
	"time"

	"troupe/messages"
)

// raise lets the goal of a new edge, and all below it, inherit a rank. It
// reports false if that leads back to the goal that waits, and then nothing has
// changed. Whoever waits has always less of a path before it than what it waits
// for, so that a cycle cannot be closed without being found here.
//
// For the same reason goals are raised in the order of the paths before them: whoever
// waits comes before what it waits for, and each is raised once, however many ways
// lead to it. Without an order a ladder of n diamonds would be 2^n ways.
//
// Goals that are leaving are passed over: nothing below them is wanted for them
// any more, and those who wait for their next incarnation are looked at then.
func (w *Worker) raise(e *entry, edge *want) bool {
	var raised []offer // with the ranks of before
	todo := offers{to: map[*entry]*offer{}}
	for todo.add(e, edge.rank()); len(todo.list) > 0; {
		at := todo.next()
		if at.e == edge.from() {
			for i := len(raised) - 1; i >= 0; i-- {
				raised[i].e.rank = raised[i].rank
			}
			return false
		}
		before := at.e.rank
		if at.e.state == leaving || !inherit(&at.e.rank, at.rank) {
			continue
		}
		raised = append(raised, offer{e: at.e, rank: before})
		for x := range at.e.needs {
			todo.add(x.of, x.rank())
		}
	}
	for _, r := range raised {
		if !r.e.untold {
			r.e.untold = true
			w.untold = append(w.untold, r.e)
		}
	}
	return true
}

// tellRanks tells the slots of the ranks that rose in this step, each once: a goal
// that begins to wait for many raises what is below several of them several times.
func (w *Worker) tellRanks() {
	for _, e := range w.untold {
		e.untold = false
		if e.state != gone {
			told := e.rank
			w.send(messages.Slots, &told)
		}
	}
	w.untold = nil
}

// inherit takes what is higher in r; it reports whether anything was.
func inherit(have *messages.RankGoal, r messages.RankGoal) bool {
	rose := false
	if r.Urgency > have.Urgency {
		have.Urgency, have.Client, rose = r.Urgency, r.Client, true
	}
	if r.Jobs > have.Jobs {
		have.Jobs, rose = r.Jobs, true
	}
	if r.Remaining > have.Remaining {
		have.Remaining, rose = r.Remaining, true
	}
	return rose
}

// offer is the rank that a goal may inherit.
type offer struct {
	e      *entry
	rank   messages.RankGoal
	before time.Duration // the path before the goal when it was offered
	turn   int           // the first of those with the same goes first
}

// offers is a heap, with one for each goal.
type offers struct {
	list  []*offer
	to    map[*entry]*offer
	turns int
}

// add offers a rank, or as much of it as is higher than what is offered already.
func (o *offers) add(e *entry, r messages.RankGoal) {
	if at := o.to[e]; at != nil {
		inherit(&at.rank, r)
		return
	}
	o.turns++
	at := &offer{e: e, rank: r, before: e.rank.Remaining, turn: o.turns}
	o.to[e] = at
	heap.Push(o, at)
}

func (o *offers) next() *offer {
	at := heap.Pop(o).(*offer)
	delete(o.to, at.e)
	return at
}

func (o *offers) Len() int      { return len(o.list) }
func (o *offers) Swap(i, j int) { o.list[i], o.list[j] = o.list[j], o.list[i] }
func (o *offers) Push(x any)    { o.list = append(o.list, x.(*offer)) }

func (o *offers) Less(i, j int) bool {
	a, b := o.list[i], o.list[j]
	return a.before < b.before || a.before == b.before && a.turn < b.turn
}

func (o *offers) Pop() any {
	last := len(o.list) - 1
	at := o.list[last]
	o.list = o.list[:last]
	return at
}
