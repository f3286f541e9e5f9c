// Package slots holds the one place where it is decided which goal goes next.
package slots

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// Slots grants build slots, at most max at a time; policy.go says to whom.
//
// A freed slot wakes the goal that gets it and no other. The queues are bounded
// by the number of goals.
type Slots struct {
	max     int
	wishes  map[int]int // how many goals there are for clients that want as many slots
	policy  Policy
	held    int
	turn    uint64
	grants  uint64 // ever
	goals   map[messages.Address]*entry
	clients map[messages.Address]*client
	order   []*client // in order of first appearance, so that nothing hangs on map order
}

// entry is what is known of one goal.
type entry struct {
	goal     messages.Address
	rank     messages.RankGoal
	client   *client // nil until ranked by the worker
	state    state
	expected time.Duration
	local    bool   // may run without slots
	turn     uint64 // when it appeared: age breaks the last tie
	index    int    // place in its client's queue
}

type state uint8

const (
	ranked  state = iota // wants no slot now
	queued               // wants one
	holding              // has one
)

// client is one share of the slots.
type client struct {
	name  messages.Address
	goals int // that have its name as theirs
	held  int
	queue queue
	// granted is the number of the newest grant to it.
	granted uint64
}

// New makes the slots of a process; max may be 0.
func New(max int, p Policy) *Slots {
	p = cmp.Or(p, Shares)
	if p == Shares && max == 1 {
		p = inTurn
	}
	return &Slots{max: max, wishes: map[int]int{}, policy: p, goals: map[messages.Address]*entry{}, clients: map[messages.Address]*client{}}
}

func (s *Slots) String() string {
	waiting := 0
	for _, c := range s.order {
		waiting += c.queue.Len()
	}
	return fmt.Sprintf("held=%d/%d queued=%d", s.held, s.limit(), waiting)
}

// Step implements [host.Machine].
func (s *Slots) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.RankGoal:
		s.onRank(m)
	case *messages.AcquireSlot:
		if (s.limit() == 0 || s.entry(m.Goal).rank.Jobs == messages.NoLocalBuilds) && !m.PreferLocal {
			return []host.Effect{host.Send{To: m.Goal, Msg: &messages.SlotRefused{Reason: noSlots}}}
		}
		s.onAcquire(m)
	case *messages.ReleaseSlot:
		if e := s.goals[m.Goal]; e != nil {
			s.become(e, ranked)
		}
	case *messages.ForgetGoal:
		if e := s.goals[m.Goal]; e != nil {
			s.become(e, ranked)
			s.leave(e)
			s.wish(e, -1)
			delete(s.goals, m.Goal)
		}
	default:
		panic(fmt.Sprintf("%v: unexpected %v", s, m))
	}
	return s.grant()
}

// noSlots is worded as Nix words it, for programs that look for it.
const noSlots = "local builds are disabled (max-jobs = 0): unable to start any build; either increase '--max-jobs' or enable remote builds"

func (s *Slots) onRank(m *messages.RankGoal) {
	e := s.entry(m.Goal)
	was := e.state
	if was == queued { // it leaves its old client's queue before it changes
		s.become(e, ranked)
	}
	if was == holding {
		e.client.held--
	}
	s.leave(e)
	s.wish(e, -1)
	e.rank = *m
	s.wish(e, 1)
	s.join(e, m.Client)
	switch was {
	case queued:
		s.become(e, queued)
	case holding:
		e.client.held++
	}
}

func (s *Slots) onAcquire(m *messages.AcquireSlot) {
	e := s.entry(m.Goal)
	if e.state != ranked {
		panic(fmt.Sprintf("%v: %s asks for a second slot", s, m.Goal))
	}
	e.expected, e.local = m.Expected, m.PreferLocal
	s.become(e, queued)
}

// entry finds a goal. One that asks before its rank has come is ranked last of
// the nameless client.
func (s *Slots) entry(goal messages.Address) *entry {
	e := s.goals[goal]
	if e == nil {
		s.turn++
		e = &entry{goal: goal, turn: s.turn}
		s.goals[goal] = e
		s.join(e, "")
	}
	return e
}

func (s *Slots) join(e *entry, name messages.Address) {
	c := s.clients[name]
	if c == nil {
		c = &client{name: name, queue: queue{policy: s.policy}}
		s.clients[name] = c
		s.order = append(s.order, c)
	}
	c.goals++
	e.client = c
}

// leave takes a goal from its client, and forgets a client that has no goals
// left: a long-lived process would gather them.
func (s *Slots) leave(e *entry) {
	c := e.client
	if c.goals--; c.goals == 0 {
		delete(s.clients, c.name)
		s.order = slices.DeleteFunc(s.order, func(o *client) bool { return o == c })
	}
}

// become is the only assignment to an entry's state; the queues and counts
// follow from it.
func (s *Slots) become(e *entry, next state) {
	switch e.state {
	case queued:
		heap.Remove(&e.client.queue, e.index)
	case holding:
		s.held--
		e.client.held--
	}
	e.state = next
	switch next {
	case queued:
		heap.Push(&e.client.queue, e)
	case holding:
		s.held++
		e.client.held++
	}
}

// grant hands out what is free.
func (s *Slots) grant() (out []host.Effect) {
	for {
		e := s.best()
		if e == nil {
			return out
		}
		s.become(e, holding)
		s.grants++
		e.client.granted = s.grants
		out = append(out, host.Send{To: e.goal, Msg: &messages.SlotFree{}})
	}
}

// free reports whether e could be granted a slot now.
func (s *Slots) free(e *entry) bool {
	if s.limit() == 0 || e.rank.Jobs == messages.NoLocalBuilds {
		return e.local && s.held == 0
	}
	return s.held < s.limit()
}

// limit is how many slots there are: as many as the service has, or as a client
// that is there wants, if that is more.
func (s *Slots) limit() int {
	most := s.max
	for n := range s.wishes {
		most = max(most, n)
	}
	return most
}

// wish counts a goal for its client's wish, or no more.
func (s *Slots) wish(e *entry, by int) {
	if e.rank.Jobs <= s.max {
		return
	}
	if s.wishes[e.rank.Jobs] += by; s.wishes[e.rank.Jobs] == 0 {
		delete(s.wishes, e.rank.Jobs)
	}
}
