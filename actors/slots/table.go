package slots

import (
	"troupe/actors/host"
	"troupe/messages"
)

const table = `
goal is         message      next     effects
--------------  -----------  -------  -------------------------------------------
any             RankGoal     same     (the rank is replaced)
unknown         AcquireSlot  queued   as one of nobody's, until its rank comes
ranked          AcquireSlot  queued   SlotFree to whoever is best, while any is free
ranked          AcquireSlot  ranked   SlotRefused: there is no slot, nor will be
queued          RankGoal     ranked   SlotRefused: its client wants nothing built here
holding         ReleaseSlot  ranked   SlotFree to whoever is best
queued          ReleaseSlot  ranked   (withdrawn)
ranked          ReleaseSlot  ranked
unknown         ReleaseSlot  unknown
ranked…holding  ForgetGoal   unknown  SlotFree to whoever is best, if it held one; or SlotRefused to all: it had wished for slots
`

// Table implements [host.Tabled].
func (s *Slots) Table() host.Table {
	return host.Table{Machine: "slots", States: []string{"unknown", "ranked", "queued", "holding"}, Text: table}
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
	}
	e := s.goals[goal]
	if e == nil {
		return "unknown"
	}
	return [...]string{"ranked", "queued", "holding"}[e.state]
}
