package slots

import (
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// questions are what hooks are being asked.
type questions struct {
	asking    int
	serial    uint64          // of the newest question
	postponed map[string]bool // by question: not asked until something changes
	timed     bool            // the timer runs that ends postponed
}

// asksAtOnce is how many hooks are asked at a time: one that is slow to answer
// does not keep the others of the queue.
const asksAtOnce = 8

// askAgain is after how long a hook is asked again that wanted to wait, if nothing
// has become free by then. It is Nix's build-poll-interval.
const askAgain = 5 * time.Second

func (h *questions) count(st state, by int) {
	if st == asking || st == willing {
		h.asking += by
	}
}

// question is what a hook would answer alike, whatever the derivation.
func (e *entry) question() string {
	return e.elsewhere.Hook + "\n" + e.elsewhere.Needs + "\n" + e.asked.Settings
}

// open reports whether a hook may be asked for e now.
func (h *questions) open(e *entry) bool {
	return h.asking < asksAtOnce && !h.postponed[e.question()]
}

// ask asks the hook. Whether it would be built here at once is no promise that the
// hook could break: the slot is e's until the hook has answered.
func (s *Slots) ask(e *entry) []host.Effect {
	next := asking
	if s.fits(e) && s.free(e) {
		next = willing
	}
	s.become(e, next)
	s.hooks.serial++
	e.asked.Question, e.asked.Willing = s.hooks.serial, next == willing
	asked := *e.asked
	return []host.Effect{host.Send{To: messages.Hooks, Msg: &asked}}
}

func (s *Slots) onReplied(m *messages.HookReplied) []host.Effect {
	e := s.goals[m.Goal]
	if e == nil || e.asked.Question != m.Question || e.state != asking && e.state != willing {
		return nil // it was dropped meanwhile
	}
	switch m.Reply {
	case messages.HookAccepts:
		at := messages.Place{Hook: m.Machine}
		if at.Here() {
			at.Hook = e.elsewhere.Hook
		}
		return s.give(e, away, at)
	case messages.HookLies:
		return s.turnAway(e, m.Reason)
	case messages.HookPostpones:
		return s.postpone(e)
	}
	e.declined = true
	if e.state == willing {
		return s.give(e, holding, messages.Place{})
	}
	s.become(e, queued)
	return nil
}

// postpone lets a goal wait until something becomes free. If one of our slots has
// since, the hook is asked at once.
func (s *Slots) postpone(e *entry) (out []host.Effect) {
	again := e.state == asking && s.fits(e) && s.free(e)
	s.become(e, queued)
	if !again {
		if s.hooks.postponed == nil {
			s.hooks.postponed = map[string]bool{}
		}
		s.hooks.postponed[e.question()] = true
		if !s.hooks.timed {
			s.hooks.timed = true
			out = append(out, host.Send{To: messages.Clock, Msg: &messages.StartTimer{Owner: messages.Slots, Name: hookTimer, After: askAgain}})
		}
	}
	return out
}
