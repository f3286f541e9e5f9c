package simulation

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
)

// realisationsChecker: an output is recorded to lie only where something valid
// lies; a derivation is recorded, and answered for, by what it resolved to; and what
// is impure is never found, but made.
type realisationsChecker struct{ idle }

func (*realisationsChecker) name() string { return "realisations" }

func (*realisationsChecker) step(w *World, s host.Step) error {
	if s.Actor != messages.Worker {
		return nil
	}
	for _, e := range s.Effects {
		if m, ok := sent[*messages.WaiteeDone](e); ok {
			if err := w.rightlyRealised(m.Waitee, m.Result); err != nil {
				return err
			}
		}
		told, ok := sent[*messages.TargetsRealised](e)
		if !ok {
			continue
		}
		for i, r := range told.Results {
			if err := w.rightlyRealised(w.view.told.Targets[i], r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *World) rightlyRealised(t messages.Target, r messages.Result) error {
	d, ok := w.graph.drv(t.Path)
	if !ok || !d.Unknown || !t.IsBuild() || !r.Status.OK() {
		return nil
	}
	if d.Impure {
		if r.Status != messages.Built {
			return fmt.Errorf("%v is impure and %v", d.Drv, r.Status)
		}
		return nil
	}
	for _, o := range r.Outputs {
		if at := w.disk.traces[lockOf(d.Drv, o.Name)]; at != o.Path {
			return fmt.Errorf("output %s of %v is said to be %v and recorded to be %v", o.Name, d.Drv, o.Path, at)
		}
	}
	return nil
}

func (*realisationsChecker) quiet(w *World) error {
	for at, p := range w.disk.traces {
		if !w.disk.valid(p) {
			return fmt.Errorf("%v is recorded to be %v, which is not valid", at, p)
		}
	}
	return nil
}
