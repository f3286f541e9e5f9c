package simulation

import (
	"fmt"
	"slices"

	"troupe/actors/host"
	"troupe/messages"
)

// starvationChecker: while a client has a goal in the queue and no slot of its kind,
// each of those that were there goes before it once at most, and nobody who comes
// later, unless he is more urgent.
type starvationChecker struct {
	idle
	queued map[messages.Address]bool // goals
	grants int                       // ever
	came   map[messages.Address]int  // client: grants before it was heard of
	passed map[clientShare]*passed   // who waits, and was passed over
}

// clientShare is what a client gets of the slots of one kind.
type clientShare struct {
	client messages.Address
	fetch  bool
}

// passed is how a client was passed over since it began to wait.
type passed struct {
	since int // grants before the first time
	by    []messages.Address
}

func newStarvationChecker() *starvationChecker {
	c := &starvationChecker{}
	c.reset()
	return c
}

func (c *starvationChecker) reset() {
	c.queued, c.came, c.passed = map[messages.Address]bool{}, map[messages.Address]int{}, map[clientShare]*passed{}
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
	case *messages.RankGoal:
		if _, known := c.came[m.Client]; !known {
			c.came[m.Client] = c.grants
		}
	case *messages.AcquireSlot:
		c.queued[m.Goal] = !m.Elsewhere.Any() // else it may have to wait for something else
	case *messages.ReleaseSlot:
		c.leaves(w, m.Goal)
	case *messages.ForgetGoal:
		c.leaves(w, m.Goal)
	}
	for _, e := range s.Effects {
		if _, refused := sent[*messages.SlotRefused](e); refused {
			c.leaves(w, e.(host.Send).To)
		}
		if grant, ok := sent[*messages.SlotFree](e); ok {
			to := e.(host.Send).To
			if _, wants := c.queued[to]; !wants {
				return fmt.Errorf("%s is granted a slot and does not want one", to)
			}
			delete(c.queued, to)
			if _, replied := s.Message.(*messages.HookReplied); replied || !grant.Place.Here() {
				delete(c.passed, clientShare{w.view.ranked[to].Client, false})
				continue // who asks a hook has a slot of ours meanwhile, and stood in no queue
			}
			if err := c.granted(w, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// leaves takes a goal from the queue. A client that has none left there does not wait
// any more, and begins anew when it comes again.
func (c *starvationChecker) leaves(w *World, goal messages.Address) {
	delete(c.queued, goal)
	if len(c.passed) == 0 {
		return
	}
	waits := map[clientShare]bool{}
	for at := range c.queued {
		waits[clientShare{w.view.ranked[at].Client, at.IsFetch()}] = true
	}
	for share := range c.passed {
		if !waits[share] {
			delete(c.passed, share)
		}
	}
}

func (c *starvationChecker) granted(w *World, to messages.Address) error {
	winner := w.view.ranked[to]
	fetch := to.IsFetch()
	if w.Slots == 0 && !fetch {
		return nil
	}
	c.grants++
	waiting := c.waiting(w, winner, fetch)
	for share, p := range c.passed {
		if share.fetch == fetch && !waiting[share.client] {
			delete(c.passed, share)
		} else if share.fetch == fetch && (slices.Contains(p.by, winner.Client) || c.came[winner.Client] > p.since) {
			return fmt.Errorf("%s has been passed over by %v, and now by %s", share.client, p.by, winner.Client)
		}
	}
	for client := range waiting {
		p := c.passed[clientShare{client, fetch}]
		if p == nil {
			p = &passed{since: c.grants - 1}
			c.passed[clientShare{client, fetch}] = p
		}
		p.by = append(p.by, winner.Client)
	}
	return nil
}

// waiting are the other clients that have no slot of a kind and could have had the
// winner's.
func (c *starvationChecker) waiting(w *World, winner messages.RankGoal, fetch bool) map[messages.Address]bool {
	clients := map[messages.Address]bool{}
	for at, here := range c.queued {
		r := w.view.ranked[at]
		if here && at.IsFetch() == fetch && r.Client != winner.Client && r.Urgency >= winner.Urgency && r.Jobs != messages.NoLocalBuilds {
			clients[r.Client] = true
		}
	}
	for at := range w.view.slots {
		if at.IsFetch() == fetch && !w.view.ranked[at].Lends {
			delete(clients, w.view.ranked[at].Client)
		}
	}
	return clients
}
