// Package store decides when what was built is put on disk.
package store

import (
	"fmt"
	"time"

	"troupe/actors/host"
	"troupe/messages"
	"troupe/storage/storepath"
)

// Store sees to the two stages of validity. A path is provisional once it is
// registered: the database port knows it and the next goal builds on it. It is
// durable once its contents were flushed and its record synced, and only then
// is anybody outside told.
//
// One commit serves all who wait, and a chain of small builds costs few
// flushes. A batch that fails is told to those who wait for it; its paths stay
// provisional and are tried with the next.
type Store struct {
	policy   Policy
	pending  []storepath.Path          // provisional and in no batch
	known    map[storepath.Path]uint64 // provisional ones: their batch, or 0 while pending
	waiting  []ticket                  // for the next batch
	batch    uint64                    // number of the newest batch
	flushing []storepath.Path          // in the batch under way; nil when idle
	served   []ticket                  // who waits for the batch under way
	armed    bool                      // the timer runs
}

type ticket struct {
	from   messages.Address
	number uint64
}

// Policy says when to flush where nobody waits.
type Policy struct {
	Gather int           // paths that make a batch of their own
	Linger time.Duration // how long a path stays provisional at most
}

// New makes the store's machine.
func New(p Policy) *Store { return &Store{policy: p, known: map[storepath.Path]uint64{}} }

func (s *Store) String() string {
	state := "idle"
	if s.busy() {
		state = fmt.Sprintf("busy batch=%d", s.batch)
	}
	return fmt.Sprintf("%s pending=%d waiting=%d", state, len(s.pending), len(s.waiting))
}

func (s *Store) busy() bool { return s.flushing != nil }

const timer = "flush"

// Step implements [host.Machine].
func (s *Store) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.RegisterPaths:
		return s.onRegister(m)
	case *messages.MakeDurable:
		return s.onMakeDurable(m)
	case *messages.TimerFired:
		s.armed = false
		return s.flushIf(len(s.pending) > 0)
	case *messages.PathsCommitted:
		return s.onCommitted(m)
	}
	panic(fmt.Sprintf("%v: unexpected %v", s, m))
}

func (s *Store) onRegister(m *messages.RegisterPaths) []host.Effect {
	for _, p := range m.Paths {
		if _, known := s.known[p]; !known {
			s.known[p] = 0
			s.pending = append(s.pending, p)
		}
	}
	out := []host.Effect{host.Send{To: m.From, Msg: &messages.PathsRegistered{}}}
	out = append(out, s.flushIf(len(s.pending) >= s.policy.Gather)...)
	return append(out, s.arm()...)
}

// arm starts the timer when something is pending and nothing else will see to
// it.
func (s *Store) arm() []host.Effect {
	if s.armed || len(s.pending) == 0 {
		return nil
	}
	s.armed = true
	return []host.Effect{host.Send{To: messages.Clock, Msg: &messages.StartTimer{
		Owner: messages.Store, Name: timer, After: s.policy.Linger}}}
}

func (s *Store) onMakeDurable(m *messages.MakeDurable) []host.Effect {
	// A durable path never rests on a provisional one: its record is written
	// after theirs. So the paths themselves are all there is to look at.
	t := ticket{m.From, m.Ticket}
	provisional, pending := false, false
	for _, p := range m.Paths {
		batch, known := s.known[p]
		provisional = provisional || known
		pending = pending || (known && batch == 0)
	}
	switch {
	case !provisional:
		return []host.Effect{host.Send{To: m.From, Msg: answer(t, "")}}
	case !pending:
		s.served = append(s.served, t)
		return nil
	}
	s.waiting = append(s.waiting, t)
	return s.flushIf(true)
}

// flushIf starts a batch of all that is pending, if wanted and none is under
// way.
func (s *Store) flushIf(wanted bool) []host.Effect {
	if !wanted || s.busy() {
		return nil
	}
	s.batch++
	s.flushing, s.pending = s.pending, nil
	s.served, s.waiting = s.waiting, nil
	for _, p := range s.flushing {
		s.known[p] = s.batch
	}
	return []host.Effect{host.Send{To: messages.Database, Msg: &messages.CommitPaths{Batch: s.batch, Paths: s.flushing}}}
}

func (s *Store) onCommitted(m *messages.PathsCommitted) (out []host.Effect) {
	if !s.busy() || m.Batch != s.batch {
		panic(fmt.Sprintf("%v: unexpected %v", s, m))
	}
	for _, t := range s.served {
		out = append(out, host.Send{To: t.from, Msg: answer(t, m.Error)})
	}
	if m.Error == "" {
		for _, p := range s.flushing {
			delete(s.known, p)
		}
	} else {
		for _, p := range s.flushing {
			s.known[p] = 0
		}
		s.pending = append(s.flushing, s.pending...)
	}
	s.flushing, s.served = nil, nil
	out = append(out, s.flushIf(len(s.waiting) > 0)...)
	return append(out, s.arm()...)
}

func answer(t ticket, failure string) messages.Message {
	if failure != "" {
		return &messages.PathsNotDurable{Ticket: t.number, Reason: failure}
	}
	return &messages.PathsDurable{Ticket: t.number}
}
