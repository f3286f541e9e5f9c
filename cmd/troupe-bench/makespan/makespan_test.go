package makespan

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"troupe/actors/slots"
	"troupe/cmd/troupe-bench/graph"
)

// chained has a chain of five, whose names come last, and five by themselves; each
// takes ten seconds, and what reads them all one.
func chained() Plan {
	s := graph.Shape{Nodes: []graph.Node{{Name: "z1"}, {Name: "z2", Inputs: []int{0}}, {Name: "z3", Inputs: []int{1}},
		{Name: "z4", Inputs: []int{2}}, {Name: "z5", Inputs: []int{3}},
		{Name: "a1"}, {Name: "a2"}, {Name: "a3"}, {Name: "a4"}, {Name: "a5"}, {Name: "top", Inputs: []int{4, 5, 6, 7, 8, 9}}}}
	p := Plan{Shape: s}
	for _, n := range s.Nodes {
		took := 10 * time.Second
		if n.Name == "top" {
			took = time.Second
		}
		p.Took, p.Recorded = append(p.Took, took), append(p.Recorded, took)
	}
	return p
}

// TestRun checks against times worked out by hand. The chain takes 51 s with the
// top. Two others begin before it is known that it is there, by whatever policy; by
// the longest path it comes next, by name after the other three, one of which runs
// beside its first.
func TestRun(t *testing.T) {
	r, err := chained().Run(2)
	if err != nil {
		t.Fatal(err)
	}
	if r.Bound != 51*time.Second { // the work is 101 s, for two
		t.Errorf("the bound is %v", r.Bound)
	}
	for p, want := range map[slots.Policy]time.Duration{slots.Shares: 61 * time.Second, slots.ByName: 71 * time.Second} {
		if got := r.Makespan[p]; (got - want).Abs() > 10*time.Millisecond {
			t.Errorf("by %s it takes %v, want %v", p, got, want)
		}
	}
	if over := r.Over(slots.ByName); math.Abs(over-20.0/51) > 0.001 {
		t.Errorf("by name it takes %.3f more than the bound", over)
	}
}

// TestCorpus: on a graph as real software has, the order by recorded times is
// within 5 % of what no order can beat, and no other is better.
func TestCorpus(t *testing.T) {
	plan := Draw(graph.Corpus(400), 1)
	for _, n := range []int{2, 8, 64} {
		r, err := plan.Run(n)
		if err != nil {
			t.Fatal(err)
		}
		if over := r.Over(slots.Shares); over > 0.05 || over < 0 {
			t.Errorf("%d slots: %v, %.1f %% over the floor of %v", n, r.Makespan[slots.Shares], 100*over, r.Floor)
		}
		if r.Makespan[slots.ByName] < r.Makespan[slots.Shares] {
			t.Errorf("%d slots: by name it takes %v, by shares %v", n, r.Makespan[slots.ByName], r.Makespan[slots.Shares])
		}
	}
}

// TestFloor: a chain of three from which four are made that take as long, with two
// slots. Neither the longest path, 40 s, nor the work, 35 s for each slot, says that
// the four take 20 s after the chain.
func TestFloor(t *testing.T) {
	p := Plan{Shape: graph.Shape{Nodes: []graph.Node{{}, {Inputs: []int{0}}, {Inputs: []int{1}}, {Inputs: []int{2}}, {Inputs: []int{2}}, {Inputs: []int{2}}, {Inputs: []int{2}}}}}
	for range p.Shape.Nodes {
		p.Took = append(p.Took, 10*time.Second)
	}
	if got := p.Floor(2); got != 50*time.Second {
		t.Errorf("the floor is %v", got)
	}
	if got := p.Floor(4); got != 40*time.Second {
		t.Errorf("with four slots the floor is %v", got)
	}
}

// TestRead: what the file does not know takes a second, and nobody expects it.
func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "durations")
	if err := os.WriteFile(file, []byte(`{"step-0": 2.5}`), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := Read(graph.Chain(2), file)
	if err != nil {
		t.Fatal(err)
	}
	if p.Took[0] != 2500*time.Millisecond || p.Recorded[0] != p.Took[0] || p.Took[1] != time.Second || p.Recorded[1] != 0 {
		t.Errorf("took %v, recorded %v", p.Took, p.Recorded)
	}
	if p.Work() != 3500*time.Millisecond || p.Critical() != p.Work() {
		t.Errorf("work %v, longest path %v", p.Work(), p.Critical())
	}
}
