package simulation

import (
	"fmt"

	"troupe/messages"
)

// audienceChecker: observers are told of each goal for which requests it is needed,
// so that every client sees what is done for it.
type audienceChecker struct{ idle }

func (*audienceChecker) name() string { return "audience" }

func (*audienceChecker) quiet(w *World) error {
	for _, g := range w.view.living {
		for k := range g.waitees {
			below := w.view.goals[w.view.byKey[k]]
			if g.leaving || below == nil || below.leaving {
				continue
			}
			for r := range g.audience {
				if !below.audience[r] {
					return fmt.Errorf("%s is needed for request %d, and so is %s, which nobody was told", g.at, r, below.at)
				}
			}
		}
	}
	for id, r := range w.view.requests {
		for i, k := range r.keys {
			g := w.view.goals[w.view.byKey[k]]
			if g == nil || r.over[i] || r.withdrawn || g.leaving {
				continue
			}
			if !g.audience[id] {
				return fmt.Errorf("request %d wants %s, and nobody was told", id, g.at)
			}
			if in := w.view.goals[r.Within]; in != nil && !in.leaving {
				for above := range in.audience {
					if !g.audience[above] {
						return fmt.Errorf("request %d waits for %s by way of a builder, and nobody was told", above, g.at)
					}
				}
			}
		}
	}
	return nil
}

// audience notes for whom a goal is needed.
func (v *view) audience(m *messages.GoalWanted) {
	g := v.goals[m.Goal]
	if g == nil {
		return
	}
	if g.audience == nil {
		g.audience = map[uint64]bool{}
	}
	for _, r := range m.Requests {
		g.audience[r] = true
	}
}
