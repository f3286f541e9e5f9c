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

// Slots grants slots for builds and for substitutions, of each kind at most max
// at a time; policy.go says to whom.
//
// A build may also go to another machine (machines.go) or to a hook (hooks.go):
// where it goes is decided when it goes. A freed slot wakes the goal that gets it
// and no other. The queues are bounded by the number of goals.
type Slots struct {
	max      [messages.SlotKinds]int
	wishes   map[int]int // how many goals there are for clients that want as many builds
	policies [messages.SlotKinds]Policy
	held     [messages.SlotKinds]int
	turn     uint64
	grants   uint64 // ever
	goals    map[messages.Address]*entry
	clients  map[messages.Address]*client
	order    []*client // in order of first appearance, so that nothing hangs on map order
	machines map[string]*machine
	met      []*machine // the same, in the order in which they were met
	hooks    questions
	wanted   Policy // of what can be built elsewhere
}

// entry is what is known of one goal.
type entry struct {
	goal     messages.Address
	rank     messages.RankGoal
	client   *client // nil until ranked by the worker
	state    state
	kind     messages.SlotKind // of the slot that it wants or has
	expected time.Duration
	local    bool   // may run without slots
	turn     uint64 // when it appeared: age breaks the last tie
	queue    *queue // that it is in
	index    int    // place there

	elsewhere *messages.Elsewhere
	asked     *messages.AskHook // what a hook is asked for it, and was last
	declined  bool              // a hook leaves it to us
	machine   *machine          // whose slot it has; nil for one of ours
	awaits    string            // what it was last told that it waits for
}

// What those share that are built here in any case; they are not changed.
var (
	nowhere = &messages.Elsewhere{}
	nothing = &messages.AskHook{}
)

type state uint8

const (
	ranked  state = iota // wants no slot now
	queued               // wants one
	asking               // wants one, and a hook is being asked
	willing              // the same, and has one of ours meanwhile
	holding              // has one
	away                 // builds on another machine, or by a hook
)

// client has a share of the slots of each kind.
type client struct {
	name   messages.Address
	goals  int // that have its name as theirs
	shares [messages.SlotKinds]share
}

type share struct {
	held    int
	queues  []*queue // the first is of goals that are built here; the others are not empty
	granted uint64   // twice the number of the newest grant to it; odd where it came after one and has had none
}

func (e *entry) share() *share { return &e.client.shares[e.kind] }

// New makes the slots of a process. builds may be 0. One substitution may always
// run, as nothing else would make what it makes.
func New(builds, substitutions int, p Policy) *Slots {
	s := &Slots{wishes: map[int]int{}, goals: map[messages.Address]*entry{}, clients: map[messages.Address]*client{}, machines: map[string]*machine{},
		wanted: cmp.Or(p, Shares)}
	s.max[messages.BuildJob], s.max[messages.SubstitutionJob] = builds, max(1, substitutions)
	for k, n := range s.max {
		s.policies[k] = cmp.Or(p, Shares)
		if s.policies[k] == Shares && n == 1 {
			s.policies[k] = inTurn
		}
	}
	return s
}

func (s *Slots) String() string {
	var waiting [messages.SlotKinds]int
	for _, c := range s.order {
		for k := range c.shares {
			for _, q := range c.shares[k].queues {
				waiting[k] += q.Len()
			}
		}
	}
	const b, f = messages.BuildJob, messages.SubstitutionJob
	return fmt.Sprintf("held=%d/%d queued=%d fetching=%d/%d queued=%d", s.held[b], s.limit(b), waiting[b], s.held[f], s.limit(f), waiting[f]) +
		s.elsewhere()
}

// Step implements [host.Machine].
func (s *Slots) Step(m messages.Message) (out []host.Effect) {
	before := s.limit(messages.BuildJob)
	switch m := m.(type) {
	case *messages.RankGoal:
		s.onRank(m)
		out = s.refuse(s.goals[m.Goal])
	case *messages.AcquireSlot:
		s.onAcquire(m)
		out = s.refuse(s.goals[m.Goal])
	case *messages.ReleaseSlot:
		if e := s.goals[m.Goal]; e != nil {
			out = s.release(e, m.Lost)
		}
	case *messages.MachineAnswered:
		out = s.onAnswered(m)
	case *messages.HookReplied:
		out = s.onReplied(m)
	case *messages.TimerFired:
		out = s.onTimer(m)
	case *messages.ForgetGoal:
		if e := s.goals[m.Goal]; e != nil {
			out = s.release(e, "")
			s.leave(e)
			s.wish(e, -1)
			delete(s.goals, m.Goal)
			s.forget()
		}
	default:
		panic(fmt.Sprintf("%v: unexpected %v", s, m))
	}
	if before > 0 && s.limit(messages.BuildJob) == 0 { // whoever wanted more is gone
		out = append(out, s.refuseAll()...)
	}
	return append(append(out, s.grant()...), s.tellOf(m)...)
}

// refuse tells one that waits and will never get a slot.
func (s *Slots) refuse(e *entry) []host.Effect {
	if e.state != queued || !s.none(e, e.kind) || e.local || e.elsewhere.Any() {
		return nil
	}
	return s.turnAway(e, noSlots)
}

func (s *Slots) turnAway(e *entry, why string) []host.Effect {
	s.become(e, ranked)
	return []host.Effect{host.Send{To: e.goal, Msg: &messages.SlotRefused{Reason: why}}}
}

func (s *Slots) refuseAll() (out []host.Effect) {
	for _, c := range s.order {
		for _, e := range slices.Clone(c.shares[messages.BuildJob].queues[0].list) {
			out = append(out, s.refuse(e)...)
		}
	}
	return out
}

// noSlots is worded as Nix words it, for programs that look for it.
const noSlots = "local builds are disabled (max-jobs = 0): unable to start any build; either increase '--max-jobs' or enable remote builds"

func (s *Slots) onRank(m *messages.RankGoal) {
	e := s.entry(m.Goal)
	was := e.state
	if was == queued { // it leaves its old client's queue before it changes
		s.become(e, ranked)
	}
	s.count(e, -1)
	s.wish(e, -1)
	e.rank = *m
	s.wish(e, 1)
	if e.client.name != m.Client { // one that stays keeps its place among the others
		s.leave(e)
		s.join(e, m.Client)
	}
	s.count(e, 1)
	if was == queued {
		s.become(e, queued)
	}
}

// count counts a slot that is held, or no more, unless it is lent: then what its
// builder waits for has its place. That one takes it back at once when it goes on,
// and nobody else is granted one until there are as few again as there may be.
func (s *Slots) count(e *entry, by int) {
	if e.rank.Lends {
		return
	}
	switch e.state {
	case willing, holding:
		s.held[e.kind] += by
		e.share().held += by
	case away: // of no slot of ours, but of the client's share
		e.share().held += by
	}
}

func (s *Slots) onAcquire(m *messages.AcquireSlot) {
	e := s.entry(m.Goal)
	if e.state != ranked {
		panic(fmt.Sprintf("%v: %s asks for a second slot", s, m.Goal))
	}
	e.kind, e.expected, e.local, e.declined, e.awaits = m.Kind, m.Expected, m.PreferLocal, false, ""
	e.elsewhere, e.asked = nowhere, nothing
	if m.Elsewhere.Any() || m.Elsewhere.NotHere {
		e.elsewhere = &m.Elsewhere
		e.asked = &messages.AskHook{Goal: m.Goal, Drv: m.Drv, Program: m.Elsewhere.Hook, Settings: m.Settings}
	}
	s.meet(m.Elsewhere.Machines)
	s.become(e, queued)
}

// entry finds a goal. One that asks before its rank has come is ranked last of
// the nameless client.
func (s *Slots) entry(goal messages.Address) *entry {
	e := s.goals[goal]
	if e == nil {
		s.turn++
		e = &entry{goal: goal, turn: s.turn, elsewhere: nowhere, asked: nothing}
		s.goals[goal] = e
		s.join(e, "")
	}
	return e
}

// join gives a goal to its client. One that comes anew stands behind all but the one
// that was granted a slot last: else many that come one after the other would keep
// the others waiting for ever.
func (s *Slots) join(e *entry, name messages.Address) {
	c := s.clients[name]
	if c == nil {
		c = &client{name: name}
		for k := range c.shares {
			c.shares[k].queues = []*queue{{policy: s.policies[k]}}
			c.shares[k].granted = max(1, 2*s.grants) - 1
		}
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
	s.count(e, -1)
	s.hooks.count(e.state, -1)
	switch e.state {
	case queued:
		heap.Remove(e.queue, e.index)
		e.share().tidy(e.queue)
	case away:
		e.machine.take(-1)
	}
	e.state = next
	switch next {
	case queued:
		e.queue = e.share().queueOf(s.places(e), s.wanted)
		heap.Push(e.queue, e)
	case away:
		e.machine.take(1)
	}
	s.count(e, 1)
	s.hooks.count(next, 1)
}

// queueOf finds the queue of goals that can go to the same places.
func (s *share) queueOf(places string, policy Policy) *queue {
	for _, q := range s.queues {
		if q.places == places {
			return q
		}
	}
	q := &queue{policy: policy, places: places}
	s.queues = append(s.queues, q)
	return q
}

// tidy forgets a queue that is empty: a long-lived process would gather them.
func (s *share) tidy(q *queue) {
	if q.Len() == 0 && q.places != "" {
		s.queues = slices.DeleteFunc(s.queues, func(o *queue) bool { return o == q })
	}
}

// grant hands out what is free.
func (s *Slots) grant() (out []host.Effect) {
	for k := range s.max {
		for e := s.best(messages.SlotKind(k)); e != nil; e = s.best(messages.SlotKind(k)) {
			out = append(out, s.let(e)...)
		}
	}
	return out
}

// goes reports whether something can be done for e now.
func (s *Slots) goes(e *entry) bool {
	if e.elsewhere.Any() {
		return s.goesElsewhere(e)
	}
	return s.free(e)
}

// let does it.
func (s *Slots) let(e *entry) []host.Effect {
	if e.elsewhere.Any() {
		return s.letElsewhere(e)
	}
	return s.give(e, holding, messages.Place{})
}

// give grants a slot.
func (s *Slots) give(e *entry, as state, at messages.Place) []host.Effect {
	s.become(e, as)
	s.grants++
	e.share().granted = 2 * s.grants
	return []host.Effect{host.Send{To: e.goal, Msg: &messages.SlotFree{Place: at}}}
}

// free reports whether e could be granted a slot of ours now.
func (s *Slots) free(e *entry) bool {
	if s.none(e, e.kind) {
		return e.local && s.held[e.kind] == 0
	}
	return s.held[e.kind] < s.limit(e.kind)
}

// none reports whether a goal gets no slot of a kind as others do.
func (s *Slots) none(e *entry, k messages.SlotKind) bool {
	return s.limit(k) == 0 || k == messages.BuildJob && e.rank.Jobs == messages.NoLocalBuilds
}

// limit is how many slots of a kind there are: as many as the service has, or for
// builds as a client that is there wants, if that is more.
func (s *Slots) limit(k messages.SlotKind) int {
	most := s.max[k]
	if k == messages.BuildJob {
		for n := range s.wishes {
			most = max(most, n)
		}
	}
	return most
}

// wish counts a goal for its client's wish, or no more.
func (s *Slots) wish(e *entry, by int) {
	if e.rank.Jobs <= s.max[messages.BuildJob] {
		return
	}
	if s.wishes[e.rank.Jobs] += by; s.wishes[e.rank.Jobs] == 0 {
		delete(s.wishes, e.rank.Jobs)
	}
}
