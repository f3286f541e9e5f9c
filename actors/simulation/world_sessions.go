package simulation

import (
	"fmt"
	"time"

	"troupe/messages"
)

// sessionsPort is the port through which guests come in: their connections, and
// how the service ends.
type sessionsPort struct {
	w        *World
	visits   map[messages.Address]*visit // by the session's address
	ending   ending
	deadline time.Duration // by which a drain is over, but for what takes no time to speak of
}

// ending is how far the service has come with its end.
type ending uint8

const (
	serving  ending = iota
	draining        // the door was told
	drained         // no session is left; the worker's rest is awaited
	atRest          // the worker has nothing left to do
)

func newSessionsPort(w *World) *sessionsPort {
	return &sessionsPort{w: w, visits: map[messages.Address]*visit{}}
}

func (p *sessionsPort) take(m messages.Message) {
	switch m := m.(type) {
	case *messages.SessionOpened:
		p.with(m.Session, func(v *visit) { v.admitted("") })
	case *messages.SessionRefused:
		p.with(m.Session, func(v *visit) { v.admitted(m.Reason) })
	case *messages.ClientAnswered:
		p.with(m.Session, func(v *visit) { v.answered(m) })
	case *messages.CloseConnection:
		p.with(m.Session, func(v *visit) { v.close(m.Now) })
	case *messages.Drained:
		p.onDrained()
	default:
		panic(fmt.Sprintf("sessions: unexpected %v", m))
	}
}

// with does something to a connection that is there still.
func (p *sessionsPort) with(at messages.Address, do func(*visit)) {
	if v := p.visits[at]; v != nil {
		do(v)
	}
}

// inOrder are the visits in the order in which they began.
func (p *sessionsPort) inOrder() (all []*visit) {
	for _, g := range p.w.guests {
		if g.now != nil {
			all = append(all, g.now)
		}
	}
	return all
}

// lastWords is how long the port waits after the patience of a drain before it
// hangs up on everybody.
const lastWords = 2 * time.Second

// drain ends the service in good order. What others than guests want is
// withdrawn: it is the command that has the service which is interrupted.
func (w *World) drain() {
	p := w.sessions
	if w.life == 0 || p.ending != serving {
		return
	}
	patience := time.Duration(w.rng.IntN(3)*w.rng.IntN(10_000)) * time.Millisecond
	w.trace.say(w.ev.now, fmt.Sprintf("the service is told to end, with a patience of %v", patience))
	p.ending, p.deadline = draining, w.ev.now+patience+lastWords
	w.send(messages.Sessions, messages.Door, &messages.Drain{Patience: patience})
	if w.rng.IntN(10) == 0 { // by another signal
		w.send(messages.Sessions, messages.Door, &messages.Drain{})
	}
	w.ev.after(patience+lastWords, "", w.life, func() {
		if p.ending == draining {
			p.closeAll()
		}
	})
	for _, c := range w.clients {
		c.cancelAll()
	}
}

// closeAll hangs up on those who do not read. What others wait for was to be
// cancelled when patience was over.
func (p *sessionsPort) closeAll() {
	for _, v := range p.inOrder() {
		if v.state == asking && v.guest.within == nil {
			p.w.fail("sessions", fmt.Sprintf("%s still waits for request %d, and was to be cut off", v.address, v.asked.Request))
		}
		v.close(true)
	}
}

func (p *sessionsPort) onDrained() {
	if p.ending != draining {
		p.w.fail("sessions", "the service has drained twice, or was not told to")
		return
	}
	p.ending = drained
	p.w.send(messages.Clients, messages.Worker, &messages.AwaitRest{From: messages.Clients})
}

// restComes is told when the worker of a service that ends has nothing left to do.
func (w *World) restComes() { w.sessions.ending = atRest }

// crash breaks every connection.
func (p *sessionsPort) crash() {
	for _, v := range p.inOrder() {
		v.over()
	}
}
