package worker

import (
	"time"

	"troupe/messages"
)

// hurry lets a goal, and all below it, inherit how urgent it is. That is told at
// once, and rises at most once for each urgency and each wish that a client has.
func (w *Worker) hurry(e *entry, r messages.RankGoal) {
	if e.state == leaving || !inherit(&e.rank, r) {
		return
	}
	w.rises(e)
	for x := range e.needs {
		w.hurry(x.of, x.rank())
	}
}

// inherit takes what is more urgent in r; it reports whether anything was.
func inherit(have *messages.RankGoal, r messages.RankGoal) bool {
	rose := false
	if r.Urgency > have.Urgency {
		have.Urgency, have.Client, rose = r.Urgency, r.Client, true
	}
	if r.Jobs > have.Jobs {
		have.Jobs, rose = r.Jobs, true
	}
	return rose
}

// The path before a goal is another matter. Derivations are read breadth first, so
// that ever longer paths to what many need are found: to raise all below at each edge
// would cost more a goal, the more goals there are. So edges that make a path longer
// are gathered for a moment, and then all paths are found in one pass. The moment
// grows with the graph, so that the passes over a graph which is being read are few
// and cost together what two or three of the whole do.
const (
	rankTimer   = "ranks"
	rankAfter   = 5 * time.Millisecond
	rankPerGoal = 100 * time.Microsecond
)

// lengthen notes an edge that makes the path before its goal longer.
func (w *Worker) lengthen(edge *want) {
	if edge.of.state == leaving || edge.rank().Remaining <= edge.of.rank.Remaining {
		return
	}
	if len(w.longer) == 0 {
		w.send(messages.Clock, &messages.StartTimer{Owner: messages.Worker, Name: rankTimer,
			After: max(rankAfter, time.Duration(len(w.goals))*rankPerGoal)})
	}
	w.longer = append(w.longer, edge)
}

// measure finds the paths before the goals of the edges that were noted, and before all
// below these: each goal comes after all who wait for it, so that it is looked at once.
func (w *Worker) measure() {
	var below []*entry
	w.look++
	find := func(e *entry) {
		if e.mark != w.look {
			e.mark, e.above = w.look, 0
			below = append(below, e)
		}
	}
	for _, x := range w.longer {
		if !x.over && x.of.state == running {
			find(x.of)
			w.prolong(x)
		}
	}
	w.longer = nil
	for i := 0; i < len(below); i++ {
		for x := range below[i].runningNeeds {
			find(x.of)
			x.of.above++
		}
	}
	w.prolongAll(below)
}

// prolongAll prolongs the paths below goals, of each of which is known how many of them
// wait for it.
func (w *Worker) prolongAll(below []*entry) {
	ready := make([]*entry, 0, len(below))
	for _, e := range below {
		if e.above == 0 {
			ready = append(ready, e)
		}
	}
	for i := 0; i < len(ready); i++ {
		for x := range ready[i].runningNeeds {
			w.prolong(x)
			if x.of.above--; x.of.above == 0 {
				ready = append(ready, x.of)
			}
		}
	}
}

// runningNeeds are those that are not leaving.
func (e *entry) runningNeeds(yield func(*want) bool) {
	for x := range e.needs {
		if x.of.state == running && !yield(x) {
			return
		}
	}
}

// prolong lets the path before a goal be as long as an edge makes it.
func (w *Worker) prolong(x *want) {
	if long := x.rank().Remaining; long > x.of.rank.Remaining {
		x.of.rank.Remaining = long
		w.rises(x.of)
	}
}

// rises notes that a goal's rank has risen in this step.
func (w *Worker) rises(e *entry) {
	if !e.untold {
		e.untold = true
		w.untold = append(w.untold, e)
	}
}

// tellRanks tells the slots of the ranks that rose in this step, each once.
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
