package slots

import (
	"fmt"
	"strings"

	"troupe/actors/host"
	"troupe/messages"
)

// A build that can be made elsewhere goes to another machine while one is free
// that can build it, as in Nix, and else takes a slot of ours. Where there is a
// hook it is asked first.

// places tells goals apart that cannot go to the same places. "" are those of which
// nothing is to be built elsewhere; where they may have no slot as others do, they
// wait until no other is held, which is not to hold up those who need not.
func (s *Slots) places(e *entry) string {
	switch {
	case e.elsewhere.Any():
	case e.kind == messages.BuildJob && e.rank.Jobs == messages.NoLocalBuilds:
		return "here"
	default:
		return ""
	}
	w := e.elsewhere
	var b strings.Builder
	fmt.Fprintf(&b, "%t %t %t %t", e.stays(s), w.NotHere, e.local, s.none(e, e.kind))
	for _, m := range w.Machines {
		b.WriteString("\n" + m.Name)
	}
	if w.Hook != "" {
		fmt.Fprintf(&b, "\n%t %s", e.declined, e.question())
	}
	return b.String()
}

// stays reports whether it is built here whatever is free elsewhere.
func (e *entry) stays(s *Slots) bool {
	return e.local && !e.elsewhere.NotHere && !s.none(e, e.kind)
}

// fits reports whether it may take a slot of ours, were one free. What no hook
// wants fails here, which says why it cannot be built.
func (s *Slots) fits(e *entry) bool {
	return (!e.elsewhere.NotHere || e.declined) && (e.local || !s.none(e, e.kind))
}

// askable reports whether a hook is to be asked.
func (s *Slots) askable(e *entry) bool {
	return e.elsewhere.Hook != "" && !e.declined && !e.stays(s)
}

func (s *Slots) goesElsewhere(e *entry) bool {
	if s.askable(e) {
		return s.hooks.open(e)
	}
	return !e.stays(s) && s.pick(e) != nil || s.fits(e) && s.free(e) || s.hopeless(e) != ""
}

func (s *Slots) letElsewhere(e *entry) []host.Effect {
	if s.askable(e) {
		return s.ask(e)
	}
	if m := s.pick(e); m != nil && !e.stays(s) {
		e.machine = m
		return s.give(e, away, messages.Place{Machine: m.name})
	}
	if s.fits(e) && s.free(e) {
		return s.give(e, holding, messages.Place{})
	}
	return s.turnAway(e, s.hopeless(e))
}

// hopeless is why there will be no slot soon, or "".
func (s *Slots) hopeless(e *entry) string {
	switch {
	case s.fits(e):
		return ""
	case len(e.elsewhere.Machines) == 0:
		return noSlots
	}
	return s.unreachable(e.elsewhere.Machines)
}

// release takes a goal out of whatever it is in.
func (s *Slots) release(e *entry, lost string) (out []host.Effect) {
	hooked := e.state == away && e.machine == nil
	if hooked || e.state == asking || e.state == willing {
		out = append(out, host.Send{To: messages.Hooks, Msg: &messages.DropHook{Goal: e.goal, Question: e.asked.Question}})
	}
	if hooked || e.state == holding || e.state == willing {
		s.hooks.postponed = nil // something has become free
	}
	m := e.machine
	s.become(e, ranked)
	e.machine = nil
	if m != nil && lost != "" {
		out = append(out, s.lose(m, lost)...)
	}
	return out
}

// tellOf is tell for the goal of a message after which it may have to wait.
func (s *Slots) tellOf(m messages.Message) []host.Effect {
	var e *entry
	switch m := m.(type) {
	case *messages.AcquireSlot:
		e = s.goals[m.Goal]
	case *messages.HookReplied:
		e = s.goals[m.Goal]
	}
	if e == nil {
		return nil
	}
	return s.tell(e)
}

// tell says to a goal that did not get what it wants what it waits for, if that
// may be elsewhere.
func (s *Slots) tell(e *entry) []host.Effect {
	if !e.elsewhere.Any() || e.state != queued && e.state != asking {
		return nil
	}
	awaits := s.awaited(e)
	if awaits == e.awaits {
		return nil
	}
	e.awaits = awaits
	return []host.Effect{host.Send{To: e.goal, Msg: &messages.SlotAwaited{For: awaits}}}
}

// tellAll is tell for all that wait.
func (s *Slots) tellAll() (out []host.Effect) {
	for _, c := range s.order {
		for _, q := range c.shares[messages.BuildJob].queues[1:] {
			for _, e := range q.list {
				out = append(out, s.tell(e)...)
			}
		}
	}
	return out
}

func (s *Slots) awaited(e *entry) string {
	var names []string
	if s.fits(e) {
		names = append(names, "this machine")
	}
	if s.askable(e) {
		names = append(names, fmt.Sprintf("build hook '%s'", e.elsewhere.Hook))
	}
	for _, m := range e.elsewhere.Machines {
		names = append(names, s.machines[m.Name].describe())
	}
	return strings.Join(names, " or ")
}

// elsewhere is what the state line says of builds elsewhere.
func (s *Slots) elsewhere() string {
	var b strings.Builder
	for _, m := range s.met {
		fmt.Fprintf(&b, " %s=%d/%d", m.name, m.held, m.jobs)
		if m.state != up {
			fmt.Fprintf(&b, "(%v)", m.state)
		}
	}
	if s.hooks.asking > 0 {
		fmt.Fprintf(&b, " asking=%d", s.hooks.asking)
	}
	return b.String()
}
