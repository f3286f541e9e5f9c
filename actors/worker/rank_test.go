package worker_test

import (
	"fmt"
	"testing"
	"time"

	"troupe/actors/host"
	"troupe/actors/worker"
	"troupe/messages"
	"troupe/storage/storepath"
)

// A ladder of diamonds has 2^n ways from its top to its foot, each as long as no
// other. Who begins to wait for its top raises each goal of it once.
func TestLadder(t *testing.T) {
	const rungs = 16
	w := worker.New("/nix/store")
	target := func(name string) messages.Target {
		p, err := storepath.ParseBase("00000000000000000000000000000000-" + name + ".drv")
		if err != nil {
			t.Fatal(err)
		}
		return messages.Target{Path: p, Outputs: []string{"out"}}
	}
	wants := func(from string, expected time.Duration, waitees ...messages.Target) []host.Effect {
		return w.Step(&messages.AwaitGoals{From: messages.Address(target(from).Key()), Expected: expected, Waitees: waitees})
	}
	a := func(i int) string { return fmt.Sprint("a", i) }
	b := func(i int) string { return fmt.Sprint("b", i) }
	w.Step(&messages.RealiseTargets{Request: 1, Client: "c", Targets: []messages.Target{target(a(0)), target("z")}})
	for i := range rungs {
		wants(a(i), time.Second, target(b(i)), target(a(i+1)))
		wants(b(i), time.Second<<(rungs-1-i), target(a(i+1)))
	}
	told := map[messages.Address]time.Duration{}
	for _, e := range wants("z", time.Second<<30, target(a(0))) {
		send, ok := e.(host.Send)
		if !ok {
			continue
		}
		if r, ok := send.Msg.(*messages.RankGoal); ok {
			if _, twice := told[r.Goal]; twice {
				t.Errorf("the slots are told twice of %s", r.Goal)
			}
			told[r.Goal] = r.Remaining
		}
	}
	// Above the foot are z, every a, and every b.
	longest := time.Second<<30 + rungs*time.Second + time.Second<<rungs - time.Second
	if foot := messages.Address(target(a(rungs)).Key()); told[foot] != longest || len(told) != 2*rungs+1 {
		t.Errorf("the slots are told of %d goals, and of %v before the foot, not of %d and %v", len(told), told[foot], 2*rungs+1, longest)
	}
}
