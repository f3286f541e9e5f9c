package simulation

import (
	"fmt"

	"troupe/messages"
)

// restChecker: when there is nothing more to come, everything is given back.
type restChecker struct{ idle }

func (*restChecker) name() string { return "rest" }

// quiet: a timer's owner is there. One that panicked may have started a timer
// that was still under way when its timers were cancelled; it fires for nobody.
func (*restChecker) quiet(w *World) error {
	for k := range w.timers {
		fixed := k.owner == messages.Worker || k.owner == messages.Store || k.owner == messages.Slots || k.owner == messages.Door && w.sessions.ending == draining
		if !fixed && !w.view.alive[k.owner] && !w.view.failed[k.owner] {
			return fmt.Errorf("timer %s of %s runs on, and its owner is gone", k.name, k.owner)
		}
	}
	return nil
}

func (*restChecker) end(w *World) error {
	for at := range w.view.alive {
		return fmt.Errorf("actor %s is still there", at)
	}
	for p, o := range w.locks.owner {
		if o != others {
			return fmt.Errorf("%v is still locked by %s", p, o)
		}
	}
	if len(w.timers) > 0 {
		return fmt.Errorf("%d timers are still there", len(w.timers))
	}
	return w.givenBack()
}

// givenBack: nothing is done or kept for anybody but the clients who are there.
func (w *World) givenBack() error {
	switch {
	case len(w.view.goals) > 0:
		return fmt.Errorf("%s is still there", w.view.goalsInOrder()[0])
	case len(w.view.requests) > 0:
		return fmt.Errorf("%d requests are still there", len(w.view.requests))
	case len(w.view.slots) > 0:
		return fmt.Errorf("%d slots are still held", len(w.view.slots))
	case len(w.view.lent) > 0:
		return fmt.Errorf("%d users are still lent", len(w.view.lent))
	case len(w.builds) > 0:
		return fmt.Errorf("%d builds are still there", len(w.builds))
	case len(w.fetches) > 0:
		return fmt.Errorf("%d fetches are still there", len(w.fetches))
	case len(w.builders.accepted) > 0:
		return fmt.Errorf("%d hooks wait for builds", len(w.builders.accepted))
	}
	for owner := range w.disk.leases.held {
		if w.client(owner) == nil {
			return fmt.Errorf("paths are still kept for %s", owner)
		}
	}
	return nil
}
