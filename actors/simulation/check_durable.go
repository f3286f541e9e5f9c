package simulation

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
	"troupe/storage/storepath"
)

// durableChecker: what a client is told is valid is on disk with its closure
// when it is told, and stays.
type durableChecker struct {
	seen       int                        // changes of the disk
	registered map[storepath.Path]*record // with the store, in this life of the service
}

func newDurableChecker() *durableChecker {
	return &durableChecker{registered: map[storepath.Path]*record{}}
}

func (*durableChecker) name() string { return "durable" }

func (c *durableChecker) step(w *World, s host.Step) error {
	if m, ok := s.Message.(*messages.RegisterPaths); ok {
		for _, p := range m.Paths {
			c.registered[p] = w.disk.records[p]
		}
	}
	if s.Actor != messages.Worker {
		return nil
	}
	for _, e := range s.Effects {
		send, ok := e.(host.Send)
		if !ok {
			continue
		}
		told, ok := send.Msg.(*messages.TargetsRealised)
		if !ok {
			continue
		}
		r := w.view.told
		for i, res := range told.Results {
			for _, p := range claimed(r.Targets[i], res) {
				if !w.disk.durable(p) {
					return fmt.Errorf("request %d is told that %v is valid, which a crash would lose", told.Request, p)
				}
			}
		}
	}
	return nil
}

// claimed are the paths that a target's result says are valid.
func claimed(t messages.Target, res messages.Result) (paths []storepath.Path) {
	if !res.Status.OK() {
		return nil
	}
	if !t.IsBuild() {
		return []storepath.Path{t.Path}
	}
	for _, o := range res.Outputs {
		paths = append(paths, o.Path)
	}
	return paths
}

func (c *durableChecker) quiet(w *World) error {
	if c.seen == w.disk.changes {
		return nil
	}
	c.seen = w.disk.changes
	for p := range w.disk.acked {
		if !w.disk.durable(p) {
			return fmt.Errorf("a client was told that %v is valid, and it is not any more", p)
		}
	}
	for at, v := range w.sessions.visits {
		for _, p := range v.told {
			if !w.disk.durable(p) {
				return fmt.Errorf("%s was told that %v is valid, and it is not any more", at, p)
			}
		}
	}
	return nil
}

func (c *durableChecker) crash(w *World) error {
	clear(c.registered)
	return c.quiet(w)
}

// end: what is registered does not stay provisional.
func (c *durableChecker) end(w *World) error {
	for p, then := range c.registered {
		if r := w.disk.records[p]; r == then && r != nil && !r.durable {
			return fmt.Errorf("%v was registered and is never put on disk", p)
		}
	}
	return c.quiet(w)
}
