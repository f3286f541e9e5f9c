package worker

// Nobody may wait for itself, by whatever way. To look at every way that an edge
// could close would cost as much as the graph is large, for each edge. So every goal
// has a level that is no higher than those of what it waits for: most edges go up
// already, or one look at the few who wait for their beginning settles it. The
// algorithm is that of Bender, Fineman, Gilbert and Tarjan ("A New Approach to
// Incremental Cycle Detection and Related Problems", 2015).
//
// Goals that are leaving are passed over: nothing below them is wanted for them
// any more, and those who wait for their next incarnation are looked at then.

// levelSearch bounds how many edges are looked at before a level is begun instead.
// With 8, a graph of 10,000 that looks like real software has some 18 levels, and 50
// edges are looked at a goal; with 100, 8 levels and 52 edges.
const levelSearch = 8

// order puts the goal of a new edge no lower than the one that waits. It reports false
// if the edge leads back to that one, and then nothing has changed.
func (w *Worker) order(edge *want) bool {
	from, to := edge.from(), edge.of
	if from == nil || from.level < to.level {
		return true
	}
	if to != from && !to.waits() { // it was not read yet, or needs nothing
		to.level = from.level
		return true
	}
	all := w.markBehind(from)
	switch {
	case to.mark == w.look:
		return false
	case all && from.level == to.level:
		return true
	case all:
		return w.lift(to, from.level)
	}
	w.look++
	from.mark = w.look
	return w.lift(to, from.level+1)
}

// waits reports whether a goal waits for any.
func (e *entry) waits() bool {
	for range e.needs {
		return true
	}
	return false
}

// markBehind marks a goal and those of its level that wait for it, by whatever way. It
// reports whether these are all.
func (w *Worker) markBehind(e *entry) bool {
	w.look++
	e.mark = w.look
	looked := 0
	for todo := []*entry{e}; len(todo) > 0; {
		last := len(todo) - 1
		at := todo[last]
		todo = todo[:last]
		for _, x := range at.wants {
			if looked++; looked > levelSearch {
				return false
			}
			if by := x.from(); by != nil && by.level == e.level && by.state == running && by.mark != w.look {
				by.mark = w.look
				todo = append(todo, by)
			}
		}
	}
	return true
}

// lift raises a goal, and what it waits for, to a level. It reports false, and undoes
// it, where that leads to a goal that is marked.
func (w *Worker) lift(e *entry, level int) bool {
	type place struct {
		e     *entry
		level int // before
	}
	lifted := []place{{e, e.level}}
	e.level = level
	for i := 0; i < len(lifted); i++ {
		for x := range lifted[i].e.needs {
			if x.of.mark == w.look {
				for _, p := range lifted {
					p.e.level = p.level
				}
				return false
			}
			if x.of.level < level && x.of.state == running {
				lifted = append(lifted, place{x.of, x.of.level})
				x.of.level = level
			}
		}
	}
	return true
}
