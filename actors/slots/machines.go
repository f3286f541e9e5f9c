package slots

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// machine is another machine that builds, with a breaker: one that was lost gets
// no builds for a while, then a single one, and all that it has slots for once that
// has reached it.
type machine struct {
	name     string
	jobs     int
	speed    int
	held     int
	state    health
	failures int // in a row
	why      string
}

type health uint8

const (
	up     health = iota
	down          // its timer runs
	trying        // one build may try
)

func (h health) String() string { return [...]string{"up", "down", "trying"}[h] }

// A machine that was lost is left alone for firstPause, and twice as long each
// time that it is lost again, up to maxPause. Until it was lost givenUp times in a
// row, what needs it waits for it.
const (
	firstPause = time.Second
	maxPause   = time.Minute
	givenUp    = 4
)

func (m *machine) pause() time.Duration {
	return min(firstPause<<min(m.failures-1, 10), maxPause)
}

// take counts builds on it; m may be nil, which is a hook.
func (m *machine) take(by int) {
	if m != nil {
		m.held += by
	}
}

func (m *machine) free() bool {
	return m.state == up && m.held < m.jobs || m.state == trying && m.held == 0
}

// meet learns of machines. What was last said of one counts.
func (s *Slots) meet(all []messages.Machine) {
	for _, is := range all {
		m := s.machines[is.Name]
		if m == nil {
			m = &machine{name: is.Name}
			s.machines[is.Name] = m
			s.met = append(s.met, m)
		}
		m.jobs, m.speed = is.Jobs, is.Speed
	}
}

// forget forgets machines that nobody may want any more.
func (s *Slots) forget() {
	if len(s.goals) == 0 {
		s.met = slices.DeleteFunc(s.met, func(m *machine) bool { return m.state == up })
		for name, m := range s.machines {
			if m.state == up {
				delete(s.machines, name)
			}
		}
	}
}

// pick finds the machine that a build goes to, or nil: the least load for its
// speed, then the fastest, then the least load, then the first, as Nix has it.
func (s *Slots) pick(e *entry) (best *machine) {
	for _, is := range e.elsewhere.Machines {
		if m := s.machines[is.Name]; m.free() && (best == nil || m.before(best) < 0) {
			best = m
		}
	}
	return best
}

func (m *machine) before(o *machine) int {
	return cmp.Or(
		cmp.Compare(m.held*o.speed, o.held*m.speed),
		cmp.Compare(o.speed, m.speed),
		cmp.Compare(m.held, o.held))
}

// lose opens a machine's breaker. Builds that were lost together count once.
func (s *Slots) lose(m *machine, why string) []host.Effect {
	m.why = why
	if m.state == down {
		return s.tellAll()
	}
	m.failures++
	m.state = down
	return append(s.tellAll(), host.Send{To: messages.Clock, Msg: &messages.StartTimer{
		Owner: messages.Slots, Name: machineTimer + m.name, After: m.pause()}})
}

// The names of timers.
const (
	machineTimer = "machine "
	hookTimer    = "hook"
)

func (s *Slots) onTimer(t *messages.TimerFired) []host.Effect {
	if t.Name == hookTimer {
		s.hooks.postponed, s.hooks.timed = nil, false
		return nil
	}
	m := s.machines[strings.TrimPrefix(t.Name, machineTimer)]
	if m == nil || m.state != down {
		return nil
	}
	m.state = trying
	return s.tellAll()
}

func (s *Slots) onAnswered(a *messages.MachineAnswered) []host.Effect {
	e := s.goals[a.Goal]
	if e == nil || e.machine == nil || e.machine.state == up {
		return nil
	}
	e.machine.state, e.machine.failures = up, 0
	return s.tellAll()
}

// unreachable is why none of some machines can be had, or "" where one may be.
func (s *Slots) unreachable(all []messages.Machine) string {
	text := "no machine that could build it can be reached"
	for _, is := range all {
		m := s.machines[is.Name]
		if m.state != down || m.failures < givenUp {
			return ""
		}
		text += fmt.Sprintf("\n'%s': %s", m.name, m.why)
	}
	return text
}

func (m *machine) describe() string {
	switch m.state {
	case down:
		return fmt.Sprintf("'%s' (which was lost: %s)", m.name, m.why)
	case trying:
		return fmt.Sprintf("'%s' (which was lost, and is being tried)", m.name)
	}
	return fmt.Sprintf("'%s'", m.name)
}
