package worker_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"troupe/actors/host"
	"troupe/actors/worker"
	"troupe/messages"
	"troupe/storage/storepath"
)

// graph lets goals wait for each other, and has what the slots are told.
type graph struct {
	t     *testing.T
	w     *worker.Worker
	told  map[messages.Address]time.Duration // the path before each goal, as it was told last
	says  int                                // how often any was told
	timer time.Duration                      // that runs, or 0
}

func newGraph(t *testing.T) *graph {
	return &graph{t: t, w: worker.New("/nix/store"), told: map[messages.Address]time.Duration{}}
}

func target(t *testing.T, name string) messages.Target {
	p, err := storepath.ParseBase("00000000000000000000000000000000-" + name + ".drv")
	if err != nil {
		t.Fatal(err)
	}
	return messages.Target{Path: p, Outputs: []string{"out"}}
}

func (g *graph) targets(names []string) (all []messages.Target) {
	for _, name := range names {
		all = append(all, target(g.t, name))
	}
	return all
}

func (g *graph) goal(name string) messages.Address { return messages.Address(target(g.t, name).Key()) }

func (g *graph) step(m messages.Message) []host.Effect {
	out := g.w.Step(m)
	for _, e := range out {
		if send, ok := e.(host.Send); ok {
			switch m := send.Msg.(type) {
			case *messages.RankGoal:
				g.told[m.Goal] = m.Remaining
				g.says++
			case *messages.StartTimer:
				if g.timer != 0 {
					g.t.Error("a timer is started while one runs")
				}
				g.timer = m.After
			}
		}
	}
	return out
}

func (g *graph) wants(names ...string) {
	g.step(&messages.RealiseTargets{Request: 1, Client: "c", Targets: g.targets(names)})
}

func (g *graph) waits(name string, expected time.Duration, waitees ...string) []host.Effect {
	return g.step(&messages.AwaitGoals{From: g.goal(name), Expected: expected, Waitees: g.targets(waitees)})
}

func (g *graph) fire() {
	g.timer = 0
	g.step(&messages.TimerFired{Name: "ranks"})
}

// A ladder of diamonds has 2^n ways from its top to its foot, each as long as no
// other. Who begins to wait for its top raises each goal of it once.
func TestLadder(t *testing.T) {
	const rungs = 16
	g := newGraph(t)
	a := func(i int) string { return fmt.Sprint("a", i) }
	b := func(i int) string { return fmt.Sprint("b", i) }
	g.wants(a(0), "z")
	for i := range rungs {
		g.waits(a(i), time.Second, b(i), a(i+1))
		g.waits(b(i), time.Second<<(rungs-1-i), a(i+1))
	}
	g.fire()
	g.waits("z", time.Second<<30, a(0))
	g.says = 0
	g.fire()
	// Above the foot are z, every a, and every b; below z are these but for z.
	longest := time.Second<<30 + rungs*time.Second + time.Second<<rungs - time.Second
	if foot := g.told[g.goal(a(rungs))]; foot != longest || g.says != 2*rungs+1 {
		t.Errorf("the slots are told %d times, and of %v before the foot, not %d times and of %v", g.says, foot, 2*rungs+1, longest)
	}
}

// A client wants every step of a chain, and they are read from the last to the
// first: each is found to have one more before it than the one that was read before.
func TestChainFromItsEnd(t *testing.T) {
	const steps = 1000
	g := newGraph(t)
	var names []string
	for i := range steps {
		names = append(names, fmt.Sprintf("s%04d", i))
	}
	g.wants(names...)
	for i := 1; i < steps; i++ {
		g.waits(names[i], time.Second, names[i-1])
	}
	g.fire()
	if got := g.told[g.goal(names[0])]; got != (steps-1)*time.Second {
		t.Errorf("before the last of %d steps is a path of %v", steps, got)
	}
	if g.says >= 2*steps {
		t.Errorf("the slots are told %d times of %d goals", g.says, steps)
	}
}

// What a graph takes is in proportion to it, though ever longer ways to what many need
// are found while it is read.
func TestRanksOfALargeGraph(t *testing.T) {
	for _, n := range []int{300, 3000} {
		g := newGraph(t)
		inputs := randomGraph(n)
		due := time.Duration(0)
		g.wants("g0")
		known := map[int]bool{0: true}
		for queue, read := []int{0}, 0; read < len(queue); read++ { // breadth first, as derivations are read
			at := queue[read]
			var names []string
			for _, i := range inputs[at] {
				names = append(names, fmt.Sprint("g", i))
				if !known[i] {
					known[i] = true
					queue = append(queue, i)
				}
			}
			g.waits(fmt.Sprint("g", at), time.Second, names...)
			const toRead = 100 * time.Microsecond
			if due += toRead; g.timer > 0 && due >= g.timer {
				g.fire()
				due = 0
			}
		}
		g.fire()
		for i, goal := range longest(inputs) {
			if got := g.told[g.goal(fmt.Sprint("g", i))]; got != goal {
				t.Fatalf("of %d: the path before %d is %v, not %v", n, i, got, goal)
			}
		}
		if g.says > 4*n {
			t.Errorf("the slots are told %d times of %d goals", g.says, n)
		}
	}
}

// randomGraph has what each node waits for: some of those that come after it, most of
// them soon after it, and some the last.
func randomGraph(n int) [][]int {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	inputs := make([][]int, n)
	for i := range n - 1 {
		inputs[i] = []int{i + 1 + rng.IntN(min(20, n-1-i))}
		for range 6 {
			inputs[i] = append(inputs[i], i+1+int(float64(n-1-i)*rng.Float64()*rng.Float64()))
		}
	}
	for i := 1; i < n; i++ { // that all are wanted
		by := rng.IntN(i)
		inputs[by] = append(inputs[by], i)
	}
	return inputs
}

// longest are the paths before each of some nodes, of which none comes before those
// that wait for it.
func longest(inputs [][]int) []time.Duration {
	before := make([]time.Duration, len(inputs))
	for i, needs := range inputs {
		for _, n := range needs {
			before[n] = max(before[n], before[i]+time.Second)
		}
	}
	return before
}

// Whoever closes a cycle is told at once, however long it is and in whatever order it
// was made.
func TestCycles(t *testing.T) {
	const most = 300 // beyond what is looked at for an edge
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 10, most} {
		g := newGraph(t)
		var names []string
		for i := range n {
			names = append(names, fmt.Sprint("c", i))
		}
		g.wants(names...)
		order := rng.Perm(n)
		for _, i := range order[1:] {
			if told := answers(g.waits(names[i], time.Second, names[(i+1)%n])); len(told) > 0 {
				t.Fatalf("of %d: an edge that closes nothing is refused: %v", n, told)
			}
		}
		last := order[0]
		told := answers(g.waits(names[last], time.Second, names[(last+1)%n]))
		if len(told) != 1 || told[0].Result.Status != messages.DependencyFailed {
			t.Errorf("of %d: whoever closes a cycle is told %v", n, told)
		}
		if more := answers(g.waits(names[last], time.Second, "leaf")); len(more) > 0 {
			t.Errorf("of %d: after it, an edge that closes nothing is refused: %v", n, more)
		}
	}
}

func answers(out []host.Effect) (told []*messages.WaiteeDone) {
	for _, e := range out {
		if send, ok := e.(host.Send); ok {
			if m, ok := send.Msg.(*messages.WaiteeDone); ok {
				told = append(told, m)
			}
		}
	}
	return told
}

// BenchmarkChainFromItsEnd shows whether the cost of a goal grows with their number.
func BenchmarkChainFromItsEnd(b *testing.B) {
	for _, steps := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(steps), func(b *testing.B) {
			var targets []messages.Target
			for i := range steps {
				p, err := storepath.ParseBase(fmt.Sprintf("00000000000000000000000000000000-s%05d.drv", i))
				if err != nil {
					b.Fatal(err)
				}
				targets = append(targets, messages.Target{Path: p, Outputs: []string{"out"}})
			}
			b.ReportAllocs()
			for b.Loop() {
				w := worker.New("/nix/store")
				w.Step(&messages.RealiseTargets{Request: 1, Client: "c", Targets: targets})
				for i := 1; i < steps; i++ {
					w.Step(&messages.AwaitGoals{From: messages.Address(targets[i].Key()), Waitees: targets[i-1 : i]})
				}
				w.Step(&messages.TimerFired{Name: "ranks"})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*steps), "ns/goal")
		})
	}
}
