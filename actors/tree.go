// Package actors builds the supervision tree. It alone knows every actor.
package actors

import (
	"fmt"

	"github.com/rs/zerolog"

	"troupe/actors/buildusers"
	"troupe/actors/child"
	"troupe/actors/goal"
	"troupe/actors/host"
	"troupe/actors/pathlocks"
	"troupe/actors/ports"
	"troupe/actors/slots"
	"troupe/actors/store"
	"troupe/actors/worker"
	"troupe/messages"
)

// Machines are what the machines of a tree decide by. A journal's header has
// them, so that its steps can be taken again.
type Machines struct {
	Goal    goal.Policy
	Store   store.Policy
	MaxJobs int
	Users   []messages.BuildUser
	NoUsers string // why there are none, where there are none
}

// Settings are what a tree is made of.
type Settings struct {
	Machines
	Services ports.Services
	Observe  func(messages.Message) // hears GoalChanged, GoalLine and GoalEnded
	Journal  host.Journal           // nil: none
	Logger   zerolog.Logger
	Fatal    func(actor messages.Address, reason string)
}

// Tree is a running tree of actors.
type Tree struct {
	// Clients is where requests go in.
	Clients *ports.Clients

	runtime  *host.Runtime
	closers  []func()
	observed chan struct{} // closed when the observer has heard all
}

// The kinds of machine of which there is one a process.
const (
	kindWorker     host.Kind = "worker"
	kindSlots      host.Kind = "slots"
	kindBuildUsers host.Kind = "build-users"
	kindPathLocks  host.Kind = "path-locks"
	kindStore      host.Kind = "store"
)

// Fixed are the machines that a tree starts with.
var Fixed = map[messages.Address]host.Kind{
	messages.Store:      kindStore,
	messages.PathLocks:  kindPathLocks,
	messages.BuildUsers: kindBuildUsers,
	messages.Slots:      kindSlots,
	messages.Worker:     kindWorker,
}

// Machine makes the machine of a kind, in its first state.
func (s Machines) Machine(k host.Kind, at messages.Address) host.Machine {
	switch k {
	case kindWorker:
		return worker.New(s.Goal.StoreDir)
	case kindSlots:
		return slots.New(s.MaxJobs)
	case kindBuildUsers:
		return buildusers.New(s.Users, s.NoUsers)
	case kindPathLocks:
		return pathlocks.New()
	case kindStore:
		return store.New(s.Store)
	case worker.KindDerivation:
		return goal.NewDerivation(at, s.Goal)
	case worker.KindSubstitution:
		return goal.NewSubstitution(at, s.Goal)
	case goal.KindChild:
		return child.New(at)
	}
	panic(fmt.Sprintf("make machine: no kind %q", k))
}

// Start starts the tree: ports first, so that machines find them.
func Start(s Settings) *Tree {
	rt := host.Start(host.Options{New: s.Machine, Journal: s.Journal, Logger: s.Logger, Fatal: s.Fatal})
	t := &Tree{runtime: rt, Clients: ports.NewClients(rt), observed: make(chan struct{})}
	clock := ports.NewClock(rt)
	locks := ports.NewLocks(rt, s.Services.Layout.RealPath, s.Logger)
	users := ports.NewUsers(rt, s.Services)
	builds := ports.NewBuilds(rt, s.Services)
	t.closers = []func(){clock.Close, locks.Close, builds.Close, users.Close}
	rt.SpawnPort(messages.Clock, clock.Handle)
	rt.SpawnPort(messages.Locks, locks.Handle)
	rt.SpawnPort(messages.Database, ports.NewDatabase(rt, s.Services).Handle)
	rt.SpawnPort(messages.Builds, builds.Handle)
	rt.SpawnPort(messages.Process, ports.NewProcess(rt, s.Services, builds).Handle)
	rt.SpawnPort(messages.Users, users.Handle)
	rt.SpawnPort(messages.Progress, t.observer(s.Observe))
	rt.SpawnPort(messages.Clients, t.Clients.Handle)
	for at, kind := range Fixed {
		rt.SpawnMachine(at, kind)
	}
	return t
}

// observer passes messages on until it is told that no more will come.
func (t *Tree) observer(observe func(messages.Message)) func(messages.Message) {
	return func(m messages.Message) {
		if _, last := m.(*messages.AtRest); last {
			close(t.observed)
			return
		}
		observe(m)
	}
}

// Close waits until the observer has heard what goals said before they told
// the worker, stops the actors and gives back what the ports hold. The worker should
// be at rest; see [ports.Clients.AwaitRest].
func (t *Tree) Close() {
	t.runtime.Send(messages.Progress, &messages.AtRest{})
	<-t.observed
	t.runtime.Shutdown()
	for _, c := range t.closers {
		c()
	}
}
