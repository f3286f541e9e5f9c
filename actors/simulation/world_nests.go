package simulation

import (
	"time"

	"troupe/messages"
	"troupe/storage/storepath"
)

// nest is a builder that asks for builds, as a guest of the service: what it was
// told is there its outputs may refer to, and is kept for its goal. It ends when
// its connection does, or does not wait for that.
type nest struct {
	p    *process
	exit messages.Exit
	life int
}

// asksWithin lets a builder ask for builds, and end then.
func (w *World) asksWithin(p *process, exit messages.Exit) {
	d := time.Duration(w.rng.Int64N(int64(p.b.drv.Duration) + 1))
	p.next = w.ev.after(d, p.b.address, w.life, func() {
		g := &guest{w: w, rng: stream(w.Seed, "nest", w.view.newRequest()), terms: w.Terms, within: &nest{p, exit, w.life}}
		g.terms.Limits = w.Limits
		w.guests = append(w.guests, g)
		p.visit = g.connects(&messages.ClientConnected{Within: p.b.address})
		if w.rng.IntN(8) == 0 {
			g.within.ends(p.b.drv.Duration)
		}
	})
}

// ends lets the builder exit after a while.
func (n *nest) ends(after time.Duration) {
	w := n.p.w
	n.p.next = w.ev.after(after, n.p.b.address, n.life, func() { w.exits(n.p, n.exit) })
}

// over is told that the connection has ended. A builder that was told of no exit
// yet goes on for a moment.
func (n *nest) over() {
	if n == nil {
		return
	}
	n.p.visit = nil
	if w := n.p.w; w.life == n.life && !n.p.dying {
		w.ev.cancel(n.p.next)
		n.ends(launchTime)
	}
}

func (n *nest) goal() messages.Address {
	if n == nil {
		return ""
	}
	return n.p.b.address
}

func (n *nest) see(paths []storepath.Path) {
	if n != nil {
		n.p.w.disk.leases.add(n.p.b.address, paths...)
		n.p.b.refs = append(n.p.b.refs, n.p.w.someRefs(paths)...)
	}
}

// hangUp breaks the connection of a builder that has ended.
func (p *process) hangUp() {
	if p.visit != nil {
		p.visit.hangUp()
	}
}
