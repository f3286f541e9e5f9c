package simulation

import (
	"cmp"
	"slices"
	"time"

	"troupe/messages"
)

// bounds are the steps and the time after which a world is said not to come to
// rest.
func (w *World) bounds() (steps int, t time.Duration) {
	steps, t = 400_000+1000*len(w.graph.Drvs), 12*time.Hour
	for _, d := range w.graph.Drvs {
		t += 2 * d.Duration
	}
	if w.Demand == nil {
		return steps, t
	}
	last := time.Duration(0)
	for _, a := range w.Demand.Arrivals {
		steps += 1000 * len(a.Targets)
		last = max(last, a.At, a.Withdrawn)
	}
	return steps, t + last
}

// turn lets one message arrive, or the next event happen. It reports false when
// nothing is left.
func (w *World) turn() bool {
	quiet := w.net.quiet()
	if quiet && w.life > 0 && w.steps >= w.checkAt {
		w.checkQuiet()
		w.checkAt = w.steps + len(w.view.goals)/manyGoals
	}
	switch {
	case w.failure != nil:
		return false
	case quiet && w.life > 0 && w.sessions.ending == atRest:
		w.rests()
		return true
	case w.stepComes():
		return true
	case quiet && len(w.ev.heap) == 0:
		return false
	case quiet, w.Demand == nil && w.ev.near() && (w.rng.IntN(16) == 0 || w.net.late() && w.rng.IntN(4) > 0):
		w.ev.next()
		return true
	}
	from, to, m := w.net.next()
	w.arrive(from, to, m)
	return true
}

// manyGoals is how many make it too dear to look at all of them whenever no
// message is under way: of a large graph, several steps are looked at at once.
const manyGoals = 32

// awaited is something that happens after a step.
type awaited struct {
	step int
	do   func()
}

// afterSteps lets something happen that many steps from now.
func (w *World) afterSteps(n int, do func()) {
	a := awaited{w.steps + n, do}
	i, _ := slices.BinarySearchFunc(w.awaited, a, func(x, y awaited) int { return cmp.Compare(x.step, y.step+1) })
	w.awaited = slices.Insert(w.awaited, i, a)
}

// stepComes lets the first thing happen that waits for a step, if that has
// come.
func (w *World) stepComes() bool {
	if len(w.awaited) == 0 || w.awaited[0].step > w.steps {
		return false
	}
	do := w.awaited[0].do
	w.awaited = w.awaited[1:]
	do()
	return true
}

func (w *World) arrive(from, to messages.Address, m messages.Message) {
	if c := w.client(to); c != nil {
		c.hear(m)
		return
	}
	if to.IsPort() {
		w.port(to, m)
		return
	}
	w.engine.deliver(to, m)
	if w.dieAt > 0 && w.steps >= w.dieAt {
		w.dieAt = 0
		w.die()
	}
	if w.endAt > 0 && w.steps >= w.endAt {
		w.endAt = 0
		w.drain()
	}
}
