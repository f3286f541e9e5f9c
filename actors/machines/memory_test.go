package machines_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/rs/zerolog"

	"troupe/actors/goal"
	"troupe/actors/host"
	"troupe/actors/machines"
	"troupe/messages"
	"troupe/storage/storepath"
)

// mostOfAGoal bounds what all machines and the host keep for a derivation that waits for
// a slot, in bytes, with its address and its recipe. That is 2,010; each 100 bytes more are two
// MiB of a service that builds 10,000, as a heap doubles between collections.
const mostOfAGoal = 2300

// TestMemoryOfGoals: all goals of a request are there from its beginning, so that
// what one takes is what limits how large a request can be.
func TestMemoryOfGoals(t *testing.T) {
	const n = 4000
	settings := machines.Settings{Goal: goal.Policy{StoreDir: "/nix/store"}, MaxJobs: 1, MaxSubstitutions: 1}
	fatal := make(chan string, 1)
	rt := host.Start(host.Options{New: settings.Make, Logger: zerolog.Nop(), Fatal: func(actor messages.Address, reason string) {
		fatal <- fmt.Sprint(actor, ": ", reason)
	}})
	t.Cleanup(rt.Shutdown)
	waiting := make(chan struct{})
	silentPorts(rt, n, waiting)
	for _, f := range machines.AllFixed {
		rt.SpawnMachine(f.Address, f.Kind)
	}
	before := heap()
	rt.Send(messages.Worker, &messages.RealiseTargets{Client: messages.Clients, Request: 1, KeepGoing: true,
		Terms: messages.Terms{NoSubstitutes: true}, Targets: targets(t, n)})
	select {
	case <-waiting:
	case why := <-fatal:
		t.Fatal(why)
	}
	each := (heap() - before) / n
	t.Logf("%d bytes a goal, %d allowed", each, mostOfAGoal)
	if each > mostOfAGoal {
		t.Errorf("%d bytes a goal, more than %d", each, mostOfAGoal)
	}
	runtime.KeepAlive(rt)
}

// silentPorts answer goals until they ask for slots. Who gets the only one waits for its
// locks for ever. When all n goals wait, waiting is closed.
func silentPorts(rt *host.Runtime, n int, waiting chan struct{}) {
	for _, at := range []messages.Address{messages.Clock, messages.Locks, messages.Caches, messages.Builds, messages.Users, messages.Clients} {
		rt.SpawnPort(at, func(messages.Message) {})
	}
	outputs := func(p storepath.Path) []messages.Output { return []messages.Output{{Name: "out", Path: p}} }
	rt.SpawnPort(messages.Database, func(m messages.Message) {
		switch m := m.(type) {
		case *messages.ReadDerivation:
			rt.Send(m.From, &messages.DerivationRead{Recipe: messages.Recipe{Drv: m.Drv, Outputs: outputs(m.Drv)}})
		case *messages.QueryPaths:
			rt.Send(m.From, &messages.PathsQueried{Valid: []bool{false}, Failed: []bool{false}})
		}
	})
	left := n
	rt.SpawnPort(messages.Progress, func(m messages.Message) {
		if c, ok := m.(*messages.GoalChanged); ok && c.Wait.For == messages.BuildSlot {
			if left--; left == 0 {
				close(waiting)
			}
		}
	})
}

func targets(t *testing.T, n int) []messages.Target {
	out := []string{"out"}
	all := make([]messages.Target, n)
	for i := range all {
		p, err := storepath.ParseBase(fmt.Sprintf("%032d-of-many.drv", i))
		if err != nil {
			t.Fatal(err)
		}
		all[i] = messages.Target{Path: p, Outputs: out}
	}
	return all
}

// heap is what is reachable, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools have is gone after two
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
