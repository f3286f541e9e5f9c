package simulation

import (
	"fmt"

	"troupe/messages"
)

// ranksChecker: what a goal waits for is as urgent as the goal, and knows of a
// path that is longer by the goal's own build, once the worker has measured that;
// what a request is for is as urgent as the request.
type ranksChecker struct{ idle }

func (*ranksChecker) name() string { return "ranks" }

func (*ranksChecker) quiet(w *World) error {
	for _, g := range w.view.living {
		if g.leaving || !g.target.IsBuild() {
			continue
		}
		want := g.rank
		want.Remaining += g.weight
		for k := range g.waitees {
			if below := w.overtaken(k, want); below != nil {
				return fmt.Errorf("%s has urgency %d and %v before it, and %s that waits for it %d and %v",
					k, below.rank.Urgency, below.rank.Remaining, g.at, want.Urgency, want.Remaining)
			}
		}
	}
	for id, r := range w.view.requests {
		for i, k := range r.keys {
			if r.withdrawn || r.over[i] {
				continue
			}
			want := messages.RankGoal{Urgency: r.Urgency}
			if in := w.view.goals[r.Within]; in != nil && !in.leaving {
				want = in.rank
				want.Remaining += in.weight
			}
			if g := w.overtaken(k, want); g != nil {
				return fmt.Errorf("request %d has urgency %d and %v before it, and %s that it waits for %d and %v",
					id, want.Urgency, want.Remaining, g.at, g.rank.Urgency, g.rank.Remaining)
			}
		}
	}
	return nil
}

// overtaken is the goal of a key, if what waits for it is more urgent than it, or
// has more before it.
func (w *World) overtaken(k messages.GoalKey, by messages.RankGoal) *goalView {
	g := w.view.goals[w.view.byKey[k]]
	if g == nil || g.leaving || !g.target.IsBuild() {
		return nil
	}
	if g.rank.Urgency < by.Urgency || g.rank.Remaining < by.Remaining && !w.view.measuring {
		return g
	}
	return nil
}
