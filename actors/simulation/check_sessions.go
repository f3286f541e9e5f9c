package simulation

import (
	"fmt"
	"strings"
	"time"

	"troupe/actors/host"
	"troupe/actors/session"
	"troupe/messages"
)

// sessionsChecker: the door counts those who are inside, lets in as many as it may,
// and nobody while the service ends; a session answers each request once and takes
// none after it was told to finish up; of a client that is gone nothing is left soon;
// and a drain ends.
type sessionsChecker struct {
	inside    map[messages.Address]bool          // sessions that the door has
	nested    map[messages.Address]bool          // those of builders
	ending    bool                               // the door was told
	finishing map[messages.Address]bool          // sessions that were told
	owed      map[messages.Address]uint64        // the request that a session has taken and not answered
	since     map[messages.Address]time.Duration // when a session was seen to have no client
	looks     int
}

func newSessionsChecker() *sessionsChecker {
	c := &sessionsChecker{}
	c.reset()
	return c
}

func (c *sessionsChecker) reset() {
	*c = sessionsChecker{inside: map[messages.Address]bool{}, nested: map[messages.Address]bool{}, finishing: map[messages.Address]bool{},
		owed: map[messages.Address]uint64{}, since: map[messages.Address]time.Duration{}}
}

func (*sessionsChecker) name() string { return "sessions" }

func (c *sessionsChecker) crash(*World) error {
	c.reset()
	return nil
}

func (c *sessionsChecker) step(w *World, s host.Step) error {
	switch {
	case s.Actor == messages.Door:
		return c.door(w, s)
	case strings.HasPrefix(string(s.Actor), sessions):
		return c.session(s)
	}
	return nil
}

func (c *sessionsChecker) door(w *World, s host.Step) error {
	switch m := s.Message.(type) {
	case *messages.ClientConnected:
		if err := c.connected(w, m, s.Effects); err != nil {
			return err
		}
	case *messages.SessionEnded:
		c.leaves(m.Session)
	case *messages.ActorFailed:
		c.leaves(m.Actor)
	case *messages.Drain:
		c.ending = true
	}
	for _, e := range s.Effects {
		if _, drained := sent[*messages.Drained](e); drained && (!c.ending || len(c.inside) > 0) {
			return fmt.Errorf("the door says that it has drained, with %d inside", len(c.inside))
		}
	}
	if _, count, _ := strings.Cut(s.State, "sessions="); count != fmt.Sprint(len(c.inside)) {
		return fmt.Errorf("the door is '%s', and %d are inside", s.State, len(c.inside))
	}
	return nil
}

func (c *sessionsChecker) leaves(at messages.Address) {
	delete(c.inside, at)
	delete(c.nested, at)
}

// connected: who comes is answered once, and rightly.
func (c *sessionsChecker) connected(w *World, m *messages.ClientConnected, effects []host.Effect) error {
	at := m.Session
	opened, refused, spawned := 0, 0, false
	for _, e := range effects {
		if m, ok := sent[*messages.SessionOpened](e); ok && m.Session == at {
			opened++
		}
		if m, ok := sent[*messages.SessionRefused](e); ok && m.Session == at {
			refused++
		}
		spawn, ok := e.(host.Spawn)
		spawned = spawned || ok && spawn == host.Spawn{Actor: at, Kind: session.KindSession}
	}
	full := w.Doors > 0 && len(c.inside)-len(c.nested) >= w.Doors
	may := !c.ending && !full
	if m.Within != "" { // as long as there is anybody whose builder it may be
		may = !c.ending || len(c.inside) > 0
	}
	switch {
	case opened+refused != 1 || spawned != (opened == 1):
		return fmt.Errorf("%s is opened %d times and refused %d times", at, opened, refused)
	case may != spawned:
		return fmt.Errorf("%s is let in: %v, with %d inside of %d, and the service ending: %v", at, spawned, len(c.inside), w.Doors, c.ending)
	}
	if spawned {
		c.inside[at] = true
		if m.Within != "" {
			c.nested[at] = true
		}
	}
	return nil
}

func (c *sessionsChecker) session(s host.Step) error {
	at := s.Actor
	switch m := s.Message.(type) {
	case *messages.RealiseForClient:
		c.owed[at] = m.Request
	case *messages.FinishUp, *messages.CutOff:
		if c.nested[at] {
			return fmt.Errorf("%s is a builder's, and is told to end", at)
		}
		c.finishing[at] = true
	case *messages.ClientGone:
		delete(c.owed, at) // nobody is there to be answered
	}
	for _, e := range s.Effects {
		if m, ok := sent[*messages.RealiseTargets](e); ok && (c.finishing[at] || m.Client != at || m.Request != c.owed[at]) {
			return fmt.Errorf("%s asks for what it should not: %v", at, m)
		}
		if m, ok := sent[*messages.ClientAnswered](e); ok {
			if m.Session != at || m.Request != c.owed[at] {
				return fmt.Errorf("%s answers request %d, and was asked for %d", at, m.Request, c.owed[at])
			}
			delete(c.owed, at)
		}
	}
	return nil
}

func (c *sessionsChecker) quiet(w *World) error {
	for at, v := range w.sessions.visits {
		if v.state == asking && w.view.requests[v.asked.Request] == nil {
			return fmt.Errorf("%s waits for an answer to request %d, which nobody works on", at, v.asked.Request)
		}
	}
	for at := range c.inside {
		if v := w.sessions.visits[at]; v != nil || w.view.failed[at] {
			continue
		}
		first, known := c.since[at]
		if !known {
			c.since[at] = w.ev.now
		} else if w.ev.now-first > soon {
			return fmt.Errorf("%s goes on for %v, and its client is gone", at, w.ev.now-first)
		}
	}
	if p := w.sessions; p.ending == draining && w.ev.now > p.deadline+soon {
		return fmt.Errorf("the service was to end by %v", p.deadline)
	}
	if c.looks++; c.looks%lookAt != 0 {
		return nil
	}
	return c.nothingLeft(w)
}

// lookAt is how many times the world is quiet between two looks at what does not
// go away by itself.
const lookAt = 8

// nothingLeft: nothing is done or kept for a session that has ended.
func (c *sessionsChecker) nothingLeft(w *World) error {
	for _, r := range w.view.requests {
		if strings.HasPrefix(string(r.Client), sessions) && !c.inside[r.Client] && !r.withdrawn {
			return fmt.Errorf("request %d goes on, and %s has ended", r.Request, r.Client)
		}
	}
	for at := range w.disk.leases.held {
		if strings.HasPrefix(string(at), sessions) && !c.inside[at] {
			return fmt.Errorf("paths are kept for %s, which has ended", at)
		}
	}
	return nil
}

func (c *sessionsChecker) end(w *World) error {
	for at := range c.inside {
		return fmt.Errorf("%s is still there", at)
	}
	for at := range w.sessions.visits {
		return fmt.Errorf("the client of %s is still there", at)
	}
	return c.nothingLeft(w)
}
