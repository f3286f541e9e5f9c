package pathlocks

import (
	"troupe/actors/host"
	"troupe/messages"
)

const table = `
owner is   message        next       effects
---------  -------------  ---------  -----------------------------------------
unknown    LockPaths      in-line    goal: LocksBusy (a goal here has one)
unknown    LockPaths      trying     locks: TryLock
in-line    UnlockPaths    unknown    (withdrawn)
trying     FilesLocked    holding    goal: LocksHeld
trying     FilesBusy      awaiting   goal: LocksBusy, locks: AwaitLock
trying     FilesFailed    unknown    goal: LocksFailed
trying     UnlockPaths    releasing  locks: Unlock
awaiting   FilesLocked    holding    goal: LocksHeld
awaiting   FilesFailed    unknown    goal: LocksFailed
awaiting   UnlockPaths    releasing  locks: Unlock
holding    UnlockPaths    releasing  locks: Unlock
unknown    UnlockPaths    unknown
releasing  LockPaths      releasing  (taken up when these are given back)
releasing  UnlockPaths    releasing  (what was asked for meanwhile is withdrawn)
releasing  FilesLocked    releasing  (the answer was late)
releasing  FilesBusy      releasing
releasing  FilesFailed    releasing
releasing  FilesUnlocked  unknown    those in line for its paths try
releasing  FilesUnlocked  trying     it asked again: as LockPaths from unknown
`

// Table implements [host.Tabled].
func (l *Locks) Table() host.Table {
	return host.Table{Machine: "path-locks", States: append(stateNames[:], "unknown"), Text: table}
}

// StateFor implements [host.Tabled].
func (l *Locks) StateFor(m messages.Message) string {
	var owner messages.Address
	switch m := m.(type) {
	case *messages.LockPaths:
		owner = m.Goal
	case *messages.UnlockPaths:
		owner = m.Goal
	case *messages.FilesLocked:
		owner = m.Owner
	case *messages.FilesBusy:
		owner = m.Owner
	case *messages.FilesFailed:
		owner = m.Owner
	case *messages.FilesUnlocked:
		owner = m.Owner
	}
	if o := l.owners[owner]; o != nil {
		return o.state.String()
	}
	return "unknown"
}
