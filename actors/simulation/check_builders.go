package simulation

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
)

// buildersChecker: no machine has more builds than it has jobs, nothing is built
// where it cannot be, and no hook that has accepted is forgotten.
type buildersChecker struct{ idle }

func (*buildersChecker) name() string { return "builders" }

func (*buildersChecker) step(w *World, s host.Step) error {
	if s.Actor != messages.Slots {
		return nil
	}
	for _, m := range w.builders.machines {
		if held := w.view.heldOn(m.Name); held > m.Jobs {
			return fmt.Errorf("%s has %d builds, of %d", m.Name, held, m.Jobs)
		}
	}
	for _, e := range s.Effects {
		send, ok := e.(host.Send)
		if !ok {
			continue
		}
		if grant, ok := send.Msg.(*messages.SlotFree); ok {
			if err := w.mayGo(send.To, grant.Place); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *World) mayGo(at messages.Address, to messages.Place) error {
	g := w.view.goals[at]
	if g == nil || at.IsFetch() {
		return nil
	}
	d, ok := w.graph.drv(g.target.Path)
	if !ok {
		return nil
	}
	e := w.builders.elsewhere(d)
	if to.Here() {
		if e.NotHere && e.Hook == "" && g.target.Mode == messages.Normal { // what no hook wants is to fail here
			return fmt.Errorf("%s is to be built here, and cannot be", at)
		}
		return nil
	}
	if g.target.Mode != messages.Normal {
		return fmt.Errorf("%s is a %v, and is to be made on %v", at, g.target.Mode, to)
	}
	for _, m := range e.Machines {
		if m.Name == to.Machine {
			return nil
		}
	}
	if to.Hook == "" || e.Hook == "" {
		return fmt.Errorf("%s is to be built on %v, which cannot", at, to)
	}
	return nil
}

// heldOn counts the builds that are granted a machine.
func (v *view) heldOn(machine string) (n int) {
	for _, at := range v.slots {
		if at.Machine == machine {
			n++
		}
	}
	return n
}

func (*buildersChecker) quiet(w *World) error {
	for at := range w.builders.accepted {
		if w.view.goals[at] == nil {
			return fmt.Errorf("%s is gone, and a hook waits for it", at)
		}
	}
	return nil
}
