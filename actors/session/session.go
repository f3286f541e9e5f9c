// Package session holds the actors of the daemon's clients: one a connection,
// and the door that lets them in.
package session

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
)

// Session stands for one client towards the worker. What a client only asks of
// the store, the sessions port answers by itself; a session has what is decided
// or waited for. See [sessionTable].
type Session struct {
	self    messages.Address
	state   state
	request uint64 // while one is under way
}

type state uint8

const (
	fresh     state = iota // never seen from outside: a session starts idle
	idle                   // nothing is under way
	realising              // the worker is at work for the client
	finishing              // the same, and it is the last that the client is given
	cut                    // the same, and it is being cancelled
	closing                // no new work is taken; the client goes, or is cut off
	leaving                // the client is gone; the worker's answer is awaited
	ended                  // the door knows
)

var stateNames = [...]string{"new", "idle", "realising", "finishing", "cut", "closing", "leaving", "ended"}

func (s state) String() string { return stateNames[s] }

// New makes the session at an address.
func New(self messages.Address) *Session { return &Session{self: self, state: idle} }

func (s *Session) String() string {
	if s.state == realising || s.state == finishing || s.state == cut || s.state == leaving {
		return fmt.Sprintf("%v request=%d", s.state, s.request)
	}
	return s.state.String()
}

// Step implements [host.Machine].
func (s *Session) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.RealiseForClient:
		return s.onRealise(m)
	case *messages.TargetsRealised:
		return s.onRealised(m)
	case *messages.ClientGone:
		return s.onGone()
	case *messages.FinishUp:
		return s.onFinishUp()
	case *messages.CutOff:
		return s.onCutOff()
	}
	panic(s.unexpected(m))
}

func (s *Session) onRealise(m *messages.RealiseForClient) []host.Effect {
	switch s.state {
	case idle:
		s.become(realising, m.Request)
		return []host.Effect{host.Send{To: messages.Worker, Msg: &messages.RealiseTargets{
			Request: m.Request, Client: s.self, Targets: m.Targets, KeepGoing: m.KeepGoing, Terms: m.Terms, Within: m.Within}}}
	case closing:
		return s.answer(&messages.ClientAnswered{Request: m.Request, Refused: goingDown})
	}
	panic(s.unexpected(m))
}

// goingDown is what a client reads that comes too late.
const goingDown = "the daemon is shutting down and takes no new work"

func (s *Session) onRealised(m *messages.TargetsRealised) []host.Effect {
	switch s.state {
	case realising:
		s.become(idle, 0)
		return s.answer(&messages.ClientAnswered{Request: m.Request, Results: m.Results})
	case finishing: // the client may have something to ask about what it got
		s.become(closing, 0)
		return s.answer(&messages.ClientAnswered{Request: m.Request, Results: m.Results})
	case cut:
		s.become(closing, 0)
		return append(s.answer(&messages.ClientAnswered{Request: m.Request, Results: m.Results}), s.closeConnection(false)...)
	case leaving:
		return s.end()
	}
	panic(s.unexpected(m))
}

func (s *Session) onGone() []host.Effect {
	switch s.state {
	case idle, closing:
		return s.end()
	case realising, finishing:
		s.become(leaving, s.request)
		return s.cancel()
	case cut:
		s.become(leaving, s.request)
		return nil
	}
	panic(s.unexpected(&messages.ClientGone{}))
}

func (s *Session) onFinishUp() []host.Effect {
	switch s.state {
	case idle:
		s.become(closing, 0)
		return s.closeConnection(false)
	case realising:
		s.become(finishing, s.request)
	}
	return nil
}

func (s *Session) onCutOff() []host.Effect {
	switch s.state {
	case finishing:
		s.become(cut, s.request)
		return s.cancel()
	case closing:
		return s.closeConnection(true)
	}
	return nil
}

// become is the only assignment to the state.
func (s *Session) become(next state, request uint64) { s.state, s.request = next, request }

func (s *Session) end() []host.Effect {
	s.become(ended, 0)
	return []host.Effect{host.Send{To: messages.Door, Msg: &messages.SessionEnded{Session: s.self}}}
}

func (s *Session) cancel() []host.Effect {
	return []host.Effect{host.Send{To: messages.Worker, Msg: &messages.CancelRequest{Request: s.request}}}
}

func (s *Session) answer(m *messages.ClientAnswered) []host.Effect {
	m.Session = s.self
	return []host.Effect{host.Send{To: messages.Sessions, Msg: m}}
}

func (s *Session) closeConnection(now bool) []host.Effect {
	return []host.Effect{host.Send{To: messages.Sessions, Msg: &messages.CloseConnection{Session: s.self, Now: now}}}
}

func (s *Session) unexpected(m messages.Message) string {
	return fmt.Sprintf("%s in state %v: unexpected %v", s.self, s.state, m)
}
