// Package actors builds the supervision tree of machines and ports.
package actors

import (
	"github.com/rs/zerolog"

	"troupe/actors/host"
	"troupe/actors/machines"
	"troupe/actors/ports"
	"troupe/actors/ports/caches"
	"troupe/actors/ports/remote"
	"troupe/actors/ports/sessions"
	"troupe/messages"
)

// Settings are what a tree is made of.
type Settings struct {
	Machines machines.Settings
	// Make makes machines instead of Machines; nil in all but tests, which let one fail.
	Make      func(host.Kind, messages.Address) host.Machine
	Services  ports.Services
	UserAgent string                 // what substituters are told
	Memory    caches.Memory          // of what they say
	Observe   func(messages.Message) // hears GoalChanged, GoalLine and GoalEnded; nil is nobody
	Sessions  *sessions.Settings     // nil: there are no clients of a daemon
	Journal   host.Journal           // nil: none
	Logger    zerolog.Logger
	Fatal     func(actor messages.Address, reason string)
}

// Tree is a running tree of actors.
type Tree struct {
	// Clients is where requests go in.
	Clients *ports.Clients
	// Sessions is where clients of the daemon come in, if they may.
	Sessions *sessions.Sessions

	runtime  *host.Runtime
	closers  []func()
	subs     *caches.Substituters
	observed chan struct{} // closed when the observer has heard all
	abreast  chan struct{} // one for each [Tree.Synchronise]
}

// Start starts the tree: ports first, so that machines find them.
func Start(s Settings) *Tree {
	if s.Make == nil {
		s.Make = s.Machines.Make
	}
	s.Services = s.Services.Shared()
	rt := host.Start(host.Options{New: s.Make, Journal: s.Journal, Logger: s.Logger, Fatal: s.Fatal})
	t := &Tree{runtime: rt, Clients: ports.NewClients(rt), observed: make(chan struct{}), abreast: make(chan struct{}, 1)}
	clock := ports.NewClock(rt)
	locks := ports.NewLocks(rt, s.Services)
	users := ports.NewUsers(rt, s.Services)
	elsewhere := remote.New(rt, s.Services)
	builds := ports.NewBuilds(rt, s.Services, elsewhere)
	t.subs = caches.NewSubstituters(s.Services, s.UserAgent, s.Memory)
	fetches := caches.New(rt, s.Services, t.subs)
	space := ports.NewSpace(s.Services)
	t.closers = []func(){space.Close, clock.Close, fetches.Close, t.subs.Close, locks.Close, elsewhere.Close, builds.Close, users.Close, func() {
		if err := s.Services.Unstage(); err != nil {
			s.Logger.Warn().Err(err).Msg("remove what is staged")
		}
	}}
	rt.SpawnPort(messages.Clock, clock.Handle)
	rt.SpawnPort(messages.Locks, locks.Handle)
	rt.SpawnPort(messages.Database, ports.NewDatabase(rt, s.Services).Handle)
	rt.SpawnPort(messages.Builds, builds.Handle)
	rt.SpawnPort(messages.Hooks, elsewhere.Handle)
	rt.SpawnPort(messages.Caches, fetches.Handle)
	rt.SpawnPort(messages.Process, ports.NewProcess(rt, s.Services, builds).Handle)
	rt.SpawnPort(messages.Users, users.Handle)
	hear := s.Observe
	if s.Sessions != nil {
		shown := sessions.NewProgress(builds)
		t.Sessions = sessions.New(rt, s.Services, t.subs, *s.Sessions, shown, t.Clients.Number)
		rt.SpawnPort(messages.Sessions, t.Sessions.Handle)
		builds.ServeNests(t.Sessions.ServeNest)
		hear = both(hear, shown.Hear)
	}
	rt.SpawnPort(messages.Progress, t.observer(hear))
	rt.SpawnPort(messages.Clients, t.Clients.Handle)
	for _, f := range machines.AllFixed {
		rt.SpawnMachine(f.Address, f.Kind)
	}
	return t
}

// both tells two observers, of which the first may be nil.
func both(a, b func(messages.Message)) func(messages.Message) {
	return func(m messages.Message) {
		if a != nil {
			a(m)
		}
		b(m)
	}
}

// observer passes messages on until it is told that no more will come.
func (t *Tree) observer(observe func(messages.Message)) func(messages.Message) {
	return func(m messages.Message) {
		switch m := m.(type) {
		case *messages.AtRest:
			close(t.observed)
			return
		case *messages.SyncProgress:
			if m.Request == 0 {
				t.abreast <- struct{}{}
				return
			}
		}
		observe(m)
	}
}

// Synchronise returns when the observer has heard what goals said before an
// answer that the caller has.
func (t *Tree) Synchronise() {
	t.runtime.Send(messages.Progress, &messages.SyncProgress{})
	<-t.abreast
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
