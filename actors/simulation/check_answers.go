package simulation

import (
	"fmt"
	"slices"

	"troupe/actors/host"
	"troupe/messages"
)

// answersChecker: each request is answered exactly once, and each waiter told
// exactly once of each thing that it awaits.
type answersChecker struct {
	idle
	open map[uint64]bool
	owed map[messages.Address]map[messages.GoalKey]int
}

func (*answersChecker) name() string { return "answers" }

func (c *answersChecker) crash(*World) error {
	c.open, c.owed = nil, nil
	return nil
}

func (c *answersChecker) step(w *World, s host.Step) error {
	if s.Actor != messages.Worker {
		return nil
	}
	if c.open == nil {
		c.open, c.owed = map[uint64]bool{}, map[messages.Address]map[messages.GoalKey]int{}
	}
	switch m := s.Message.(type) {
	case *messages.RealiseTargets:
		if w.view.requests[m.Request] != nil {
			c.open[m.Request] = true
		}
	case *messages.ForgetClient:
		for id := range c.open {
			if w.view.requests[id] == nil {
				delete(c.open, id)
			}
		}
	case *messages.AwaitGoals:
		if c.owed[m.From] == nil {
			c.owed[m.From] = map[messages.GoalKey]int{}
		}
		for _, t := range m.Waitees {
			c.owed[m.From][t.Key()]++
		}
	}
	for _, e := range s.Effects {
		if err := c.effect(w, e); err != nil {
			return err
		}
	}
	return nil
}

func (c *answersChecker) effect(w *World, e host.Effect) error {
	switch e := e.(type) {
	case host.Stop:
		delete(c.owed, e.Actor)
	case host.Send:
		switch m := e.Msg.(type) {
		case *messages.TargetsRealised:
			if !c.open[m.Request] {
				return fmt.Errorf("request %d is answered twice, or its client is gone", m.Request)
			}
			if r := w.view.told; !r.withdrawn && slices.Contains(r.over, false) {
				return fmt.Errorf("request %d is answered, and not all that it wants is over: %v", m.Request, r.over)
			}
			delete(c.open, m.Request)
		case *messages.WaiteeDone:
			owed := c.owed[e.To]
			if owed[m.Waitee.Key()] == 0 {
				return fmt.Errorf("%s is told of %v and does not await it", e.To, m.Waitee)
			}
			owed[m.Waitee.Key()]--
		}
	}
	return nil
}

func (c *answersChecker) end(w *World) error {
	for _, cl := range w.clients {
		if cl.awaitsRest != 0 {
			return fmt.Errorf("%s was told of rest %d times too few", cl.address, cl.awaitsRest)
		}
		for id := range cl.open {
			return fmt.Errorf("request %d of %s was never answered", id, cl.address)
		}
	}
	return nil
}
