package messages

import "fmt"

// AcquireBuildUser asks for a build user. From goal to build-users; answered by
// [BuildUserGranted] or [BuildUserRefused], unless [ReleaseBuildUser] comes
// first.
type AcquireBuildUser struct {
	Goal Address
	// Nests says that the builder may want others to be built while it runs: one
	// user at least is left to those.
	Nests bool `json:",omitempty"`
}

// BuildUserGranted lends a user in whose name nothing runs.
type BuildUserGranted struct{ User BuildUser }

// BuildUserRefused says that no user can be lent, and why.
type BuildUserRefused struct{ Reason string }

// ReleaseBuildUser gives a user back, or withdraws the request for one. The
// pool lends it again only when no process of it is left: Dirty says that there
// may be some, as the builder ran without a pid namespace of its own.
type ReleaseBuildUser struct {
	Goal  Address
	Dirty bool
}

// BuildUser is the identity that a builder has outside its sandbox.
type BuildUser struct {
	UID, GID int
	// Groups are the supplementary groups that the user's account has.
	Groups []int `json:",omitempty"`
	// Account marks one that other Nix processes on the machine use, too.
	Account bool `json:",omitempty"`
	// Shared marks the service's own identity: lent to any number of builds
	// at once, and nothing is ever killed by it.
	Shared bool `json:",omitempty"`
}

// ClaimUser asks the users port to lock a user against other Nix processes and
// to kill what runs under it; answered by [UserClaimed], [UserTaken] or
// [UserFailed].
type ClaimUser struct{ User BuildUser }

// UserClaimed says that the user is locked and nothing runs under it.
type UserClaimed struct{ UID int }

// UserTaken says that another process on this machine uses the user.
type UserTaken struct{ UID int }

// UserFailed says that a user could not be locked or cleaned.
type UserFailed struct {
	UID    int
	Reason string
}

// CleanUser asks the users port to unlock a user and, where it is Dirty, first
// to kill everything under it; answered by [UserCleaned] or [UserFailed].
type CleanUser struct {
	User  BuildUser
	Dirty bool
}

// UserCleaned says that no process of the user is left.
type UserCleaned struct{ UID int }

func (*AcquireBuildUser) message() {}
func (*BuildUserGranted) message() {}
func (*BuildUserRefused) message() {}
func (*ReleaseBuildUser) message() {}
func (*ClaimUser) message()        {}
func (*UserClaimed) message()      {}
func (*UserTaken) message()        {}
func (*UserFailed) message()       {}
func (*CleanUser) message()        {}
func (*UserCleaned) message()      {}

func (m *AcquireBuildUser) String() string { return line(m) }
func (m *BuildUserGranted) String() string { return line(m) }
func (m *BuildUserRefused) String() string { return line(m) }
func (m *ReleaseBuildUser) String() string { return line(m) }
func (m *ClaimUser) String() string        { return line(m) }
func (m *UserClaimed) String() string      { return line(m) }
func (m *UserTaken) String() string        { return line(m) }
func (m *UserFailed) String() string       { return line(m) }
func (m *CleanUser) String() string        { return line(m) }
func (m *UserCleaned) String() string      { return line(m) }

func (u BuildUser) String() string {
	if u.Shared {
		return "shared"
	}
	return fmt.Sprintf("%d:%d", u.UID, u.GID)
}
