package simulation

import (
	"fmt"
	"time"

	"troupe/actors/host"
	"troupe/actors/journal"
)

// traceLines is how much of what happened a failure shows.
const traceLines = 30

// trace keeps the last lines of what happened. They are made only when somebody
// wants to see them, and the states only in a world that is traced.
type trace struct {
	last [traceLines]traceLine
	next int
}

type traceLine struct {
	step host.Step
	text string
}

func (t *trace) step(s host.Step) { t.add(traceLine{step: s}) }

func (t *trace) say(at time.Duration, text string) {
	t.add(traceLine{text: fmt.Sprintf("%.6f --- %s", at.Seconds(), text)})
}

func (t *trace) add(l traceLine) {
	t.last[t.next%traceLines] = l
	t.next++
}

func (t *trace) lines() (all []string) {
	for i := max(0, t.next-traceLines); i < t.next; i++ {
		l := t.last[i%traceLines]
		if l.text == "" {
			l.text = journal.Record{Step: l.step}.String()
		}
		all = append(all, l.text)
	}
	return all
}
