package simulation

import (
	"fmt"
	"slices"

	"troupe/actors/host"
	"troupe/messages"
)

// buildsChecker: nothing is built twice at once; a build has its locks, all its
// inputs, valid and named, and a slot; nothing is built whose outputs are there, or
// are to be fetched.
type buildsChecker struct{ idle }

func (*buildsChecker) name() string { return "builds" }

func (*buildsChecker) step(w *World, s host.Step) error {
	for _, e := range s.Effects {
		send, ok := e.(host.Send)
		if !ok {
			continue
		}
		switch m := send.Msg.(type) {
		case *messages.PrepareBuild:
			if err := w.mayBuild(m); err != nil {
				return err
			}
		case *messages.WaiteeDone:
			w.noteLost(send.To, m)
		}
	}
	if w.view.twice != "" {
		return fmt.Errorf("two goals are %s", w.view.twice)
	}
	return nil
}

// noteLost notes that an output of a goal was not fetched, although a substituter has it.
func (w *World) noteLost(goal messages.Address, m *messages.WaiteeDone) {
	g := w.view.goals[goal]
	if g == nil || m.Waitee.IsBuild() || m.Result.Flaw&messages.SubstituterFailed == 0 {
		return
	}
	d, _ := w.graph.drv(g.target.Path)
	g.lost = g.lost || m.Waitee.Path != d.Drv && !slices.Contains(d.Sources, m.Waitee.Path)
}

func (w *World) mayBuild(m *messages.PrepareBuild) error {
	d, ok := w.graph.drv(m.Drv)
	if !ok {
		return fmt.Errorf("%v is built and was never read", m.Drv)
	}
	if m.Mode != messages.Check && len(m.Replace) == 0 && w.allValid(d) {
		return fmt.Errorf("%s builds what is there", m.Build)
	}
	if place, held := w.view.slots[m.Build]; !held || place != m.Place {
		return fmt.Errorf("%s builds without a slot", m.Build)
	}
	if g := w.view.goals[m.Build]; g != nil && g.lost && !g.terms.Fallback && m.Mode != messages.Check {
		return fmt.Errorf("%s builds what a substituter has and did not give, and is not to", m.Build)
	}
	if d.Resolve {
		return fmt.Errorf("%s builds what is to be resolved", m.Build)
	}
	for _, p := range d.locks() {
		if w.locks.owner[p] != m.Build {
			return fmt.Errorf("%s builds without the lock of %v", m.Build, p)
		}
	}
	for _, p := range m.Inputs {
		if !w.disk.valid(p) {
			return fmt.Errorf("%s builds with %v, which is not valid", m.Build, p)
		}
	}
	for _, in := range d.Inputs {
		from, ok := w.graph.drv(in.Path)
		if !ok {
			continue
		}
		for _, p := range from.outputs(in.Outputs) {
			if !slices.Contains(m.Inputs, p) {
				return fmt.Errorf("%s builds without its input %v", m.Build, p)
			}
		}
	}
	for _, p := range d.Sources {
		if !slices.Contains(m.Inputs, p) {
			return fmt.Errorf("%s builds without its source %v", m.Build, p)
		}
	}
	return nil
}

func (w *World) allValid(d Drv) bool {
	if d.Unknown {
		return len(w.realised(d.Drv)) == len(d.Outputs)
	}
	return !slices.ContainsFunc(d.Outputs, func(o messages.Output) bool { return !w.disk.valid(o.Path) })
}

// quiet: a build that is there belongs to a goal that is there.
func (*buildsChecker) quiet(w *World) error {
	for at := range w.builds {
		if w.view.goals[at] == nil && w.ev.owned[at] == 0 {
			return fmt.Errorf("the build of %s is never cleaned up", at)
		}
	}
	return nil
}
