// Package machines makes every machine there is. A running tree, a replay and
// the simulation have them from here, and so the same.
package machines

import (
	"fmt"

	"troupe/actors/buildusers"
	"troupe/actors/child"
	"troupe/actors/goal"
	"troupe/actors/host"
	"troupe/actors/pathlocks"
	"troupe/actors/session"
	"troupe/actors/slots"
	"troupe/actors/store"
	"troupe/actors/worker"
	"troupe/messages"
)

// Settings are what the machines of a tree decide by. A journal's header has
// them, so that its steps can be taken again.
type Settings struct {
	Goal    goal.Policy
	Store   store.Policy
	Door    session.Policy `json:",omitzero"`
	MaxJobs int
	// MaxSubstitutions is how many paths are fetched at a time.
	MaxSubstitutions int
	Slots            slots.Policy `json:",omitempty"`
	Users            []messages.BuildUser
	NoUsers          string // why there are none, where there are none
}

// The kinds of machine of which there is one a process.
const (
	kindWorker     host.Kind = "worker"
	kindSlots      host.Kind = "slots"
	kindBuildUsers host.Kind = "build-users"
	kindPathLocks  host.Kind = "path-locks"
	kindStore      host.Kind = "store"
	kindDoor       host.Kind = "door"
)

// Fixed is a machine that a tree starts with.
type Fixed struct {
	Address messages.Address
	Kind    host.Kind
}

// AllFixed lists those machines, in the order in which they start.
var AllFixed = []Fixed{
	{messages.Store, kindStore},
	{messages.PathLocks, kindPathLocks},
	{messages.BuildUsers, kindBuildUsers},
	{messages.Slots, kindSlots},
	{messages.Worker, kindWorker},
	{messages.Door, kindDoor},
}

// FixedKinds are the kinds of those machines by address.
func FixedKinds() map[messages.Address]host.Kind {
	kinds := map[messages.Address]host.Kind{}
	for _, f := range AllFixed {
		kinds[f.Address] = f.Kind
	}
	return kinds
}

// Make makes the machine of a kind, in its first state. Goals share the policy, which is
// not to be changed any more.
func (s *Settings) Make(k host.Kind, at messages.Address) host.Machine {
	switch k {
	case kindWorker:
		return worker.New(s.Goal.StoreDir)
	case kindSlots:
		return slots.New(s.MaxJobs, s.MaxSubstitutions, s.Slots)
	case kindBuildUsers:
		return buildusers.New(s.Users, s.NoUsers)
	case kindPathLocks:
		return pathlocks.New()
	case kindStore:
		return store.New(s.Store)
	case kindDoor:
		return session.NewDoor(s.Door)
	case session.KindSession:
		return session.New(at)
	case worker.KindDerivation:
		return goal.NewDerivation(at, &s.Goal)
	case worker.KindSubstitution:
		return goal.NewSubstitution(at, &s.Goal)
	case worker.KindCleanUp:
		return goal.NewCleanUp(at)
	case goal.KindChild:
		return child.New(at)
	}
	panic(fmt.Sprintf("make machine: no kind %q", k))
}
