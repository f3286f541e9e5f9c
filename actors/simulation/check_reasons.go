package simulation

import (
	"fmt"

	"troupe/messages"
	"troupe/storage/storepath"
)

// reasonsChecker: whenever no message is under way, every goal has something to
// wait for, and it is what it says. A wake-up that was lost shows here.
type reasonsChecker struct{ idle }

func (*reasonsChecker) name() string { return "reasons" }

func (*reasonsChecker) quiet(w *World) error {
	for _, g := range w.view.living {
		if err := w.reason(g.at, g); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) reason(at messages.Address, g *goalView) error {
	if w.ev.owned[at] > 0 || w.builds[at] != nil && w.builds[at].process != nil {
		return nil
	}
	switch wait := g.wait; wait.For {
	case messages.Inputs:
		for k := range g.waitees {
			if w.view.byKey[k] != "" {
				return nil
			}
		}
		return fmt.Errorf("%s waits for inputs, and none is being made", at)
	case messages.BuildSlot:
		if g.rank.Jobs == messages.NoLocalBuilds && w.view.held(false) > 0 {
			return nil
		}
		if len(w.builders.asked) > 0 { // who is being asked about may have a slot
			return nil
		}
		return w.slotReason(at, w.slotLimit())
	case messages.AnyMachine:
		return w.builders.reason(at)
	case messages.SubstitutionSlot:
		return w.slotReason(at, w.Fetches)
	case messages.PathLock:
		return w.lockReason(at, g)
	case messages.FreeUser:
		if w.ev.owned[messages.Users] > 0 || len(w.view.lent) == len(w.users.all) {
			return nil
		}
		return w.userReason(at)
	}
	if w.ev.owned[messages.Locks] > 0 {
		return nil
	}
	return fmt.Errorf("%s is in the state that says %v, and nothing is under way for it", at, g.wait)
}

func (w *World) slotReason(at messages.Address, most int) error {
	if held := w.view.held(at.IsFetch()); held < most || held == 0 {
		return fmt.Errorf("%s waits for a slot, and %d of %d are held", at, held, most)
	}
	return nil
}

func (w *World) lockReason(at messages.Address, g *goalView) error {
	if w.ev.owned[messages.Locks] > 0 {
		return nil
	}
	paths := []storepath.Path{g.target.Path}
	if d, ok := w.graph.drv(g.target.Path); ok && g.target.IsBuild() {
		paths = d.locks()
	}
	for _, p := range paths {
		if !w.locks.free(at, p) {
			return nil
		}
	}
	return fmt.Errorf("%s waits for a lock, and all are free", at)
}

// userReason: those that are not lent must be out of use.
func (w *World) userReason(at messages.Address) error {
	lent := map[int]bool{}
	for _, uid := range w.view.lent {
		lent[uid] = true
	}
	for _, u := range w.users.all {
		if lent[u.UID] {
			return nil
		}
	}
	return fmt.Errorf("%s waits for a user, and none is lent", at)
}
