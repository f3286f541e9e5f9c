package simulation

import (
	"fmt"

	"troupe/messages"
)

// ranksChecker: what a goal waits for is as urgent as the goal, and knows of a
// path that is longer by the goal's own build; what a request is for is as
// urgent as the request.
type ranksChecker struct{ idle }

func (*ranksChecker) name() string { return "ranks" }

func (*ranksChecker) quiet(w *World) error {
	for at, g := range w.view.goals {
		if g.leaving || !g.target.IsBuild() {
			continue
		}
		want := g.rank
		want.Remaining += g.weight
		for k := range g.waitees {
			if err := w.ranked(string(at), want, k); err != nil {
				return err
			}
		}
	}
	for id, r := range w.view.requests {
		for i, t := range r.Targets {
			if r.withdrawn || r.over[i] {
				continue
			}
			if err := w.ranked(fmt.Sprintf("request %d", id), messages.RankGoal{Urgency: r.Urgency}, t.Key()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *World) ranked(by string, want messages.RankGoal, k messages.GoalKey) error {
	at := w.view.byKey[k]
	g := w.view.goals[at]
	if g == nil || g.leaving || !g.target.IsBuild() {
		return nil
	}
	if g.rank.Urgency < want.Urgency || g.rank.Remaining < want.Remaining {
		return fmt.Errorf("%s has urgency %d and %v before it, and %s that waits for it %d and %v",
			at, g.rank.Urgency, g.rank.Remaining, by, want.Urgency, want.Remaining)
	}
	return nil
}
