package sessions

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// debts are derivations that clients were told they had added, and that a crash would
// lose yet. Nothing holds on to such a derivation but through this port: it is named
// in no profile, and whoever makes a root of it, builds it or asks for it has it made
// durable first. So a client that adds thousands, one after the other, does not wait
// for the disk each time.
type debts struct {
	commit func(context.Context, ...storepath.Path) error

	unpaid atomic.Int64 // paths
	paying sync.Mutex   // held while they are made durable

	mu   sync.Mutex // guards open
	open *debt      // what is added now belongs to it; nil for none
}

// debt is what is made durable together.
type debt struct {
	paths []storepath.Path
	err   error // why it is not, once it was tried
}

// owedAtMost is how long a derivation stays owed where nobody asks for it.
const owedAtMost = 200 * time.Millisecond

func (d *debts) owe(p storepath.Path) *debt {
	d.unpaid.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		d.open = &debt{}
		time.AfterFunc(owedAtMost, d.pay)
	}
	d.open.paths = append(d.open.paths, p)
	return d.open
}

// pay returns when all that was owed before has been made durable, or that was tried.
func (d *debts) pay() {
	if d.unpaid.Load() == 0 {
		return
	}
	d.paying.Lock()
	defer d.paying.Unlock()
	d.mu.Lock()
	due := d.open
	d.open = nil
	d.mu.Unlock()
	if due != nil {
		due.err = d.commit(context.Background(), due.paths...)
		d.unpaid.Add(-int64(len(due.paths)))
	}
}

// owe leaves the disk for later.
func (c *connection) owe(p storepath.Path) {
	if d := c.p.debts.owe(p); len(c.owes) == 0 || c.owes[len(c.owes)-1] != d {
		c.owes = append(c.owes, d)
	}
}

// settle makes durable what clients have added. The error is that of what this one has.
func (c *connection) settle() (err error) {
	c.p.debts.pay()
	for _, d := range c.owes {
		err = errors.Join(err, d.err)
	}
	c.owes = nil
	return err
}

// mayOwe reports whether a request promises nothing of what was added before. Those
// that ask for one path look after that one themselves.
func mayOwe(q workerproto.Request) bool {
	switch q.(type) {
	case *workerproto.SetOptions, *workerproto.AddToStore, *workerproto.AddTextToStore, *workerproto.AddTempRoot,
		*workerproto.IsValidPath, *workerproto.QueryPathInfo:
		return true
	}
	return false
}

// durable reports whether a path is valid for clients, for which it is made so if that
// is owed.
func (c *connection) durable(p storepath.Path) (bool, error) {
	if c.p.debts.unpaid.Load() > 0 && c.p.s.DB.Provisional(p) {
		if err := c.settle(); err != nil {
			return false, err
		}
	}
	return c.p.s.DB.Durable(p)
}
