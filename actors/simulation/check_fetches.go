package simulation

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
)

// fetchesChecker: what is fetched is not there, nobody else fetches or builds it,
// and all that it refers to is valid; a fetch has a goal.
type fetchesChecker struct{ idle }

func (*fetchesChecker) name() string { return "fetches" }

func (*fetchesChecker) step(w *World, s host.Step) error {
	for _, e := range s.Effects {
		send, ok := e.(host.Send)
		if !ok {
			continue
		}
		if m, ok := send.Msg.(*messages.FetchPath); ok {
			if err := w.mayFetch(m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *World) mayFetch(m *messages.FetchPath) error {
	f := w.fetches[m.From]
	_, held := w.view.slots[m.From]
	switch {
	case f == nil:
		return fmt.Errorf("%s fetches what it did not look up", m.From)
	case w.disk.valid(m.Path) && !m.Repair:
		return fmt.Errorf("%s fetches what is there", m.From)
	case !held:
		return fmt.Errorf("%s fetches without a slot", m.From)
	case w.locks.owner[m.Path] != m.From:
		return fmt.Errorf("%s fetches without the lock", m.From)
	}
	for _, p := range f.refs {
		if !w.disk.valid(p) {
			return fmt.Errorf("%s fetches a path that refers to %v, which is not valid", m.From, p)
		}
	}
	for at, other := range w.fetches {
		if at != m.From && other.running && other.path == m.Path {
			return fmt.Errorf("%s and %s fetch the same", m.From, at)
		}
	}
	return nil
}

// quiet: what the port has for a goal is wanted by it, and what runs has its lock
// and its slot.
func (*fetchesChecker) quiet(w *World) error {
	for at, f := range w.fetches {
		_, held := w.view.slots[at]
		if f.running && !w.view.failed[at] && (w.locks.owner[f.path] != at || !held) {
			return fmt.Errorf("%s is fetching, and has no slot or no lock", at)
		}
		if w.view.goals[at] == nil && w.ev.owned[at] == 0 {
			return fmt.Errorf("the fetch of %s is never given up", at)
		}
	}
	return nil
}
