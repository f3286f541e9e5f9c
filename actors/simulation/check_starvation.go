package simulation

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
)

// starvationChecker: a client that has a goal in the queue and no slot of its kind
// sees at most so many of these go to others, of no more urgency, as there are others.
type starvationChecker struct {
	idle
	queued map[messages.Address]bool // goals
	passed map[clientShare]int       // grants to others since it could have had one
}

// clientShare is what a client gets of the slots of one kind.
type clientShare struct {
	client messages.Address
	fetch  bool
}

func newStarvationChecker() *starvationChecker {
	c := &starvationChecker{}
	c.reset()
	return c
}

func (c *starvationChecker) reset() {
	c.queued, c.passed = map[messages.Address]bool{}, map[clientShare]int{}
}

func (*starvationChecker) name() string { return "starvation" }

func (c *starvationChecker) crash(*World) error {
	c.reset()
	return nil
}

func (c *starvationChecker) step(w *World, s host.Step) error {
	if s.Actor != messages.Slots {
		return nil
	}
	switch m := s.Message.(type) {
	case *messages.AcquireSlot:
		c.queued[m.Goal] = true
	case *messages.ReleaseSlot:
		delete(c.queued, m.Goal)
	case *messages.ForgetGoal:
		delete(c.queued, m.Goal)
	}
	for _, e := range s.Effects {
		send, ok := e.(host.Send)
		if !ok {
			continue
		}
		if _, grant := send.Msg.(*messages.SlotFree); grant {
			if !c.queued[send.To] {
				return fmt.Errorf("%s is granted a slot and does not want one", send.To)
			}
			delete(c.queued, send.To)
			if err := c.granted(w, send.To); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *starvationChecker) granted(w *World, to messages.Address) error {
	winner := w.view.goals[to]
	if winner == nil {
		return nil
	}
	fetch, slots := to.IsFetch(), w.Slots
	if fetch {
		slots = max(w.Fetches, 1)
	}
	if slots == 0 {
		return nil
	}
	delete(c.passed, clientShare{winner.rank.Client, fetch})
	holds := map[messages.Address]bool{}
	for at := range w.view.slots {
		if g := w.view.goals[at]; g != nil && at.IsFetch() == fetch {
			holds[g.rank.Client] = true
		}
	}
	seen := map[messages.Address]bool{}
	for at := range c.queued {
		g := w.view.goals[at]
		if g == nil || at.IsFetch() != fetch || holds[g.rank.Client] || seen[g.rank.Client] || g.rank.Client == winner.rank.Client || g.rank.Urgency < winner.rank.Urgency {
			continue
		}
		seen[g.rank.Client] = true
		share := clientShare{g.rank.Client, fetch}
		if c.passed[share]++; c.passed[share] > w.Clients+w.Guests+slots {
			return fmt.Errorf("%s has been passed over %d times", g.rank.Client, c.passed[share])
		}
	}
	return nil
}
