package simulation

import "fmt"

// closureChecker: a path is valid only with its contents and its whole closure,
// and on disk only with those on disk.
type closureChecker struct {
	idle
	seen int // changes of the disk
}

func (*closureChecker) name() string { return "closure" }

func (c *closureChecker) quiet(w *World) error {
	if c.seen == w.disk.changes {
		return nil
	}
	c.seen = w.disk.changes
	for p, r := range w.disk.records {
		flushed, there := w.disk.contents[p]
		if !there || (r.durable && !flushed) {
			return fmt.Errorf("%v is valid and its contents are not there", p)
		}
		for _, ref := range r.refs {
			to := w.disk.records[ref]
			if to == nil || (r.durable && !to.durable) {
				return fmt.Errorf("%v is valid and refers to %v, which is not", p, ref)
			}
		}
	}
	return nil
}

func (c *closureChecker) crash(w *World) error { return c.quiet(w) }
