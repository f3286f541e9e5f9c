// Package simulation drives the machines through a world of faults, from a seed
// and in virtual time.
//
// The machines are the real ones. The world has what they talk to: a clock, a
// store that can lose what was not flushed, binary caches that fail and lie, builders that fail, hang, write too
// much or are killed, users and locks that others take, clients that come,
// change their minds and go, and the death of the service itself at any step.
// Messages from one sender to one receiver keep their order; everything else
// happens in the order that the seed says. After every step the checkers look
// at what happened; each has a file of its own, check_*.go.
package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"troupe/actors/host"
	"troupe/actors/machines"
	"troupe/actors/slots"
	"troupe/messages"
)

// Scenario is all that a run follows from: equal scenarios run equally.
type Scenario struct {
	Seed     uint64
	Clients  int
	Requests int // a client makes
	Guests   int // clients that come through the door
	Doors    int // how many of those may be inside at a time; 0 is no limit
	Slots    int
	Caches   int              // substituters
	Fetches  int              // substitution slots
	Terms    messages.Terms   // of all clients, but for limits
	Users    int              // build users; 0 is one that all share
	Rush     bool             // clients come and go all at once
	Hasty    bool             // they come and go between any two steps
	Meddling bool             // they act at the worst moment
	Slow     messages.Address // an actor that takes its messages late
	Boxed    bool             // builders cannot leave processes behind
	Limits   messages.Limits
	Faults   Faults
	Goals    int     // derivations of the random graph
	Graph    *Graph  // nil: one made from the seed
	Demand   *Demand // nil: clients do as the seed says
	Policy   slots.Policy
	Machines int  // others that build
	Hook     bool // there is a build hook instead
	Nesting  bool // some builders ask for builds
}

// Random makes a scenario from a seed, with faults at their usual rates.
func Random(seed uint64, f Faults) Scenario {
	rng := stream(seed, "scenario")
	s := Scenario{Seed: seed, Clients: 1 + rng.IntN(4), Requests: 1 + rng.IntN(3), Slots: 1 + rng.IntN(4), Goals: 1 + rng.IntN(16),
		Boxed: rng.IntN(3) > 0, Faults: f, Limits: messages.Limits{Total: 5 * time.Minute}}
	if rng.IntN(4) > 0 {
		s.Users = s.Slots + rng.IntN(3)
	}
	if rng.IntN(3) > 0 {
		s.Limits.Silence = time.Minute
	}
	if rng.IntN(2) == 0 {
		s.Limits.LogBytes = 1 << 20
	}
	if rng.IntN(4) == 0 { // so that they come when other things do
		s.Limits.Total = time.Duration(1+rng.IntN(20)) * time.Second
		s.Limits.Silence = s.Limits.Total - time.Duration(rng.IntN(100))*time.Millisecond
	}
	s.Rush = rng.IntN(4) == 0
	if rng.IntN(20) == 0 {
		s.Slots = 0
	}
	s.Hasty = rng.IntN(4) == 0
	if rng.IntN(3) == 0 {
		s.Slow = machines.AllFixed[rng.IntN(len(machines.AllFixed))].Address
	}
	s.Caches, s.Fetches = rng.IntN(3), rng.IntN(4)
	s.Terms.Fallback, s.Terms.NoSubstitutes = rng.IntN(2) == 0, rng.IntN(8) == 0
	s.Guests = rng.IntN(4)
	if s.Hasty && rng.IntN(1000) < f[Flood] || rng.IntN(1000) < f[Flood]/4 {
		s.Guests, s.Clients, s.Requests = 12+rng.IntN(24), 1, 1
	}
	s.Meddling = rng.IntN(5) == 0
	if s.Guests > 0 && rng.IntN(3) == 0 {
		s.Doors = 1 + rng.IntN(s.Guests)
	}
	switch rng.IntN(4) {
	case 0:
		s.Machines = 1 + rng.IntN(3)
	case 1:
		s.Hook = true
	}
	s.Nesting = stream(seed, "nesting").IntN(5) == 0
	return s
}

func (s Scenario) String() string {
	graph := fmt.Sprintf("%d goals", s.Goals)
	if s.Graph != nil {
		graph = fmt.Sprintf("a graph of %d derivations", len(s.Graph.Drvs))
	}
	return fmt.Sprintf("seed %d: %d clients, %d guests by %d, %d requests each, %s, %d slots, %d machines, hook %v, %d caches, %d fetches, %d users, boxed %v, faults %v",
		s.Seed, s.Clients, s.Guests, s.Doors, s.Requests, graph, s.Slots, s.Machines, s.Hook, s.Caches, s.Fetches, s.Users, s.Boxed, s.Faults)
}

// Maker makes the machine of a kind, in its first state.
type Maker func(host.Kind, messages.Address) host.Machine

// stream is a source of random numbers for one purpose, so that what is drawn
// for one thing does not change another.
func stream(seed uint64, purpose string, ids ...uint64) *rand.Rand {
	h := fnv(purpose)
	for _, id := range ids {
		h = (h ^ id) * 0x100000001b3
	}
	return rand.New(rand.NewPCG(seed, h))
}

func fnv(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}
