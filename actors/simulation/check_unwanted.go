package simulation

import (
	"fmt"
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// unwantedChecker: a goal that nobody wants is gone soon, with its child; one
// that somebody wants is not cancelled.
type unwantedChecker struct {
	idle
	since map[messages.Address]time.Duration // when it was seen to be unwanted
}

func newUnwantedChecker() *unwantedChecker {
	return &unwantedChecker{since: map[messages.Address]time.Duration{}}
}

// soon is more than any kill, check or clean-up takes in this world.
const soon = 2 * time.Second

func (*unwantedChecker) name() string { return "unwanted" }

func (c *unwantedChecker) crash(*World) error {
	c.since = map[messages.Address]time.Duration{}
	return nil
}

func (*unwantedChecker) step(w *World, s host.Step) error {
	var look uint64
	for _, e := range s.Effects {
		if _, cancels := sent[*messages.CancelGoal](e); !cancels {
			continue
		}
		if look == 0 {
			look = w.view.wanted()
		}
		at := e.(host.Send).To
		if g := w.view.goals[at]; g != nil && g.wanted == look {
			return fmt.Errorf("%s is cancelled, and somebody wants it", at)
		}
	}
	return nil
}

func (c *unwantedChecker) quiet(w *World) error {
	look := w.view.wanted()
	for at := range c.since {
		if g := w.view.goals[at]; g == nil || g.wanted == look {
			delete(c.since, at)
		}
	}
	for _, g := range w.view.living {
		if g.wanted == look {
			continue
		}
		at := g.at
		first, known := c.since[at]
		if !known {
			c.since[at] = w.ev.now
		} else if w.ev.now-first > soon {
			return fmt.Errorf("%s goes on for %v and nobody wants it", at, w.ev.now-first)
		}
	}
	for _, at := range w.running() {
		if w.view.goals[at] == nil && !w.builds[at].process.dying {
			return fmt.Errorf("a builder of %s runs on, and its goal is gone", at)
		}
	}
	return nil
}
