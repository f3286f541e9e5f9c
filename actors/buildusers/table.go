package buildusers

import (
	"slices"

	"troupe/actors/host"
	"troupe/messages"
)

const table = `
user is   message           next      effects
--------  ----------------  --------  ------------------------------------
free      AcquireBuildUser  claiming  users: ClaimUser
none      AcquireBuildUser  none      (the goal stands in line, or BuildUserRefused)
shared    AcquireBuildUser  shared    goal: BuildUserGranted
claiming  UserClaimed       lent      goal: BuildUserGranted
claiming  UserClaimed       cleaning  users: CleanUser (goal withdrew)
claiming  UserTaken         taken     the goal tries the next user
claiming  UserFailed        free      goal: BuildUserRefused
claiming  ReleaseBuildUser  claiming  (withdrawn)
lent      ReleaseBuildUser  cleaning  users: CleanUser
none      ReleaseBuildUser  none      (out of the line, or it had none)
shared    ReleaseBuildUser  shared
cleaning  UserCleaned       free      the first waiting goal tries it
cleaning  UserFailed        broken    (never lent again; said once in the log)
`

// Table implements [host.Tabled]. The state is that of the user in question:
// for a goal that asks, of the best there is.
func (p *Pool) Table() host.Table {
	return host.Table{Machine: "build-users", Text: table,
		States: []string{"free", "claiming", "lent", "cleaning", "taken", "broken", "none", "shared"}}
}

// StateFor implements [host.Tabled].
func (p *Pool) StateFor(m messages.Message) string {
	is := func(u *user) bool { return false }
	switch m := m.(type) {
	case *messages.AcquireBuildUser:
		is = func(u *user) bool { return u.state == free || u.state == taken } // which it retakes
	case *messages.ReleaseBuildUser:
		is = func(u *user) bool { return u.goal == m.Goal }
	case *messages.UserClaimed:
		is = func(u *user) bool { return u.UID == m.UID }
	case *messages.UserTaken:
		is = func(u *user) bool { return u.UID == m.UID }
	case *messages.UserCleaned:
		is = func(u *user) bool { return u.UID == m.UID }
	case *messages.UserFailed:
		is = func(u *user) bool { return u.UID == m.UID }
	}
	i := slices.IndexFunc(p.users, is)
	switch {
	case p.shared != nil:
		return "shared"
	case i < 0:
		return "none"
	case p.users[i].state == taken:
		return "free"
	}
	return [...]string{"free", "claiming", "lent", "cleaning", "taken", "broken"}[p.users[i].state]
}
