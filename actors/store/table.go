package store

import (
	"troupe/actors/host"
	"troupe/messages"
)

const table = `
state   message         next    effects
------  --------------  ------  --------------------------------------------
idle    RegisterPaths   idle    goal: PathsRegistered, clock: StartTimer
idle    RegisterPaths   busy    the same, and CommitPaths: enough has gathered
idle    MakeDurable     idle    PathsDurable (nothing of it is provisional)
idle    MakeDurable     busy    database: CommitPaths
idle    TimerFired      busy    database: CommitPaths
busy    RegisterPaths   busy    goal: PathsRegistered
busy    MakeDurable     busy    (it waits for this batch, or for the next)
busy    TimerFired      busy
busy    PathsCommitted  idle    whoever waited for this batch is told
busy    PathsCommitted  busy    the same, and CommitPaths for those who came since
`

// Table implements [host.Tabled].
func (s *Store) Table() host.Table {
	return host.Table{Machine: "store", States: []string{"idle", "busy"}, Text: table}
}

// StateFor implements [host.Tabled].
func (s *Store) StateFor(messages.Message) string {
	if s.busy() {
		return "busy"
	}
	return "idle"
}
