package simulation

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
)

// slotsChecker: no more slots are held than there are, none twice by one goal,
// and none by a goal that is gone; one is lent while its builder waits, and no longer.
type slotsChecker struct{ idle }

func (*slotsChecker) name() string { return "slots" }

func (*slotsChecker) step(w *World, s host.Step) error {
	if s.Actor != messages.Slots {
		return nil
	}
	granted := false
	_, replied := s.Message.(*messages.HookReplied) // who asked a hook had a slot of ours meanwhile
	for _, e := range s.Effects {
		send, ok := e.(host.Send)
		if !ok {
			continue
		}
		grant, ok := send.Msg.(*messages.SlotFree)
		if !ok {
			continue
		}
		if _, held := w.view.slots[send.To]; held {
			return fmt.Errorf("%s is granted a second slot", send.To)
		}
		w.view.slots[send.To] = grant.Place
		granted = granted || grant.Place.Here() && !send.To.IsFetch() && !replied
	}
	if held, most := w.view.held(false), w.slotLimit(); granted && held > max(most, 1) {
		return fmt.Errorf("%d slots are held, of %d", held, most)
	}
	if held := w.view.held(true); held > max(w.Fetches, 1) {
		return fmt.Errorf("%d substitution slots are held, of %d", held, w.Fetches)
	}
	return nil
}

// slotLimit is how many slots there are for builds: as many as the service has, or
// as a client that is there wants.
func (w *World) slotLimit() int {
	most := w.Slots
	for _, r := range w.view.ranked {
		most = max(most, r.Jobs)
	}
	return most
}

// held counts the slots for substitutions, or those for builds here that are not lent
// to what a builder waits for.
func (v *view) held(fetches bool) (n int) {
	for at, place := range v.slots {
		if at.IsFetch() == fetches && place.Here() && !v.ranked[at].Lends {
			n++
		}
	}
	return n
}

func (*slotsChecker) quiet(w *World) error {
	for at := range w.view.slots {
		if w.view.goals[at] == nil {
			return fmt.Errorf("%s is gone and holds a slot", at)
		}
	}
	asks := map[messages.Address]bool{}
	for _, r := range w.view.requests {
		asks[r.Within] = true
	}
	for _, g := range w.view.living {
		if lends := w.view.ranked[g.at].Lends; lends != asks[g.at] && !w.view.failed[g.at] {
			return fmt.Errorf("%s lends its slot: %v, and its builder waits for builds: %v", g.at, lends, asks[g.at])
		}
	}
	return nil
}
