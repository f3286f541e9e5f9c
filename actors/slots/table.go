package slots

import (
	"strings"

	"troupe/actors/host"
	"troupe/messages"
)

const table = `
it is         message          next     effects
------------  ---------------  -------  --------------------------------------------------------------
unknown…away  RankGoal         same     (the rank is replaced)
queued        RankGoal         ranked   SlotRefused: its client wants nothing built here
unknown       AcquireSlot      queued   as one of nobody's, until its rank comes
ranked        AcquireSlot      queued   SlotFree to whoever is best, while any is free
ranked        AcquireSlot      ranked   SlotRefused: there is no slot, nor will be; no machine can be reached
ranked        AcquireSlot      away     SlotFree: a machine is free that can build it
ranked        AcquireSlot      asking   hooks: AskHook, SlotAwaited
ranked        AcquireSlot      willing  the same, and one of our slots is kept for it meanwhile
asking        HookReplied      away     SlotFree: the hook builds it
asking        HookReplied      queued   SlotAwaited: the hook declined, or wants to be asked later (clock: StartTimer)
asking        HookReplied      ranked   SlotRefused: it said what has no meaning
willing       HookReplied      away     SlotFree
willing       HookReplied      holding  SlotFree: the hook declined
willing       HookReplied      queued   SlotAwaited: it wants to be asked later
willing       HookReplied      ranked   SlotRefused
unknown       HookReplied      unknown  (it was dropped meanwhile)
ranked        HookReplied      ranked
holding       ReleaseSlot      ranked   SlotFree to whoever is best
queued        ReleaseSlot      ranked   (withdrawn)
ranked        ReleaseSlot      ranked
unknown       ReleaseSlot      unknown
asking        ReleaseSlot      ranked   hooks: DropHook
willing       ReleaseSlot      ranked   the same, SlotFree to whoever is best
away          ReleaseSlot      ranked   as holding; hooks: DropHook; clock: StartTimer, if the machine was lost
away          MachineAnswered  away     its machine goes up
ranked…away   ForgetGoal       unknown  as ReleaseSlot; or SlotRefused to all: it had wished for slots
down          TimerFired       trying   the machine gets one build
up            TimerFired       up       (it was reached meanwhile)
postponed     TimerFired       queued   hooks are asked again
`

// Table implements [host.Tabled].
func (s *Slots) Table() host.Table {
	return host.Table{Machine: "slots", States: append([]string{"unknown"}, append(stateNames[:], "up", "down", "postponed")...), Text: table}
}

// StateFor implements [host.Tabled].
func (s *Slots) StateFor(m messages.Message) string {
	var goal messages.Address
	switch m := m.(type) {
	case *messages.RankGoal:
		goal = m.Goal
	case *messages.AcquireSlot:
		goal = m.Goal
	case *messages.ReleaseSlot:
		goal = m.Goal
	case *messages.ForgetGoal:
		goal = m.Goal
	case *messages.MachineAnswered:
		goal = m.Goal
	case *messages.HookReplied:
		goal = m.Goal
	case *messages.TimerFired:
		return s.timerState(m)
	}
	e := s.goals[goal]
	if e == nil {
		return "unknown"
	}
	return stateNames[e.state]
}

var stateNames = [...]string{"ranked", "queued", "asking", "willing", "holding", "away"}

func (s *Slots) timerState(t *messages.TimerFired) string {
	if t.Name == hookTimer {
		return "postponed"
	}
	if m := s.machines[strings.TrimPrefix(t.Name, machineTimer)]; m != nil && m.state == down {
		return "down"
	}
	return "up"
}
