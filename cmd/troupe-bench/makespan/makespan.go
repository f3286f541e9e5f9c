// Package makespan says how long a graph takes to be built with some number of
// slots, by the policies that there are for who goes next: by the machines that
// decide in the daemon, in virtual time. It runs no builder.
package makespan

import (
	"fmt"
	"time"

	"troupe/actors/machines"
	"troupe/actors/simulation"
	"troupe/actors/slots"
	"troupe/cmd/troupe-bench/graph"
	"troupe/messages"
	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

// Plan is a graph and how long each of its nodes takes.
type Plan struct {
	Shape graph.Shape
	Took  []time.Duration
	// Recorded is what earlier runs have told of that; zero where nothing is known.
	Recorded []time.Duration
}

// Result is how long a policy takes.
type Result struct {
	Slots    int
	Bound    time.Duration // the longest path, or the work for each slot
	Floor    time.Duration // a sharper bound; see [Plan.Floor]
	Makespan map[slots.Policy]time.Duration
}

// Over is by how much a policy's makespan is above the floor.
func (r Result) Over(p slots.Policy) float64 { return float64(r.Makespan[p])/float64(r.Floor) - 1 }

// Critical is the longest path through the graph, and Work all of it together.
func (p Plan) Critical() (longest time.Duration) {
	ends := make([]time.Duration, len(p.Took))
	for i, n := range p.Shape.Nodes {
		for _, in := range n.Inputs {
			ends[i] = max(ends[i], ends[in])
		}
		ends[i] += p.Took[i]
		longest = max(longest, ends[i])
	}
	return longest
}

// Work is how long it would take with one slot.
func (p Plan) Work() (sum time.Duration) {
	for _, t := range p.Took {
		sum += t
	}
	return sum
}

// Run meets the plan with some number of slots, by each policy.
func (p Plan) Run(n int) (Result, error) {
	r := Result{Slots: n, Bound: max(p.Critical(), p.Work()/time.Duration(n)), Floor: p.Floor(n), Makespan: map[slots.Policy]time.Duration{}}
	demand, err := p.demand(n)
	if err != nil {
		return r, err
	}
	for _, policy := range slots.Policies() {
		m, err := demand.Meet(policy)
		if err != nil {
			return r, err
		}
		if m.Builds != len(p.Took) {
			return r, fmt.Errorf("meet the plan by policy '%s': %d builds, not %d", policy, m.Builds, len(p.Took))
		}
		r.Makespan[policy] = m.Makespan
	}
	return r, nil
}

// demand is one client that wants the last node.
func (p Plan) demand(n int) (*simulation.Demand, error) {
	box, err := storepath.ParseBase("00000000000000000000000000000000-box")
	if err != nil {
		return nil, err
	}
	items, err := graph.Maker{Dir: "/nix/store", Box: box}.Make(p.Shape)
	if err != nil {
		return nil, err
	}
	var recipes []messages.Recipe
	for i, item := range items {
		r := messages.Recipe{Drv: item.Path, Sources: item.Drv.Sources, Expected: p.Recorded[i],
			Outputs: []messages.Output{{Name: "out", Path: item.Out}}}
		for _, in := range item.Drv.Inputs {
			r.Inputs = append(r.Inputs, target(in))
		}
		recipes = append(recipes, r)
	}
	g := simulation.NewGraph(recipes)
	for i := range g.Drvs {
		g.Drvs[i].Duration = p.Took[i]
	}
	top := messages.RealiseTargets{Client: "client", Targets: []messages.Target{{Path: items[p.Shape.Top()].Path, Outputs: []string{"out"}}},
		Terms: messages.Terms{NoSubstitutes: true}}
	settings := machines.Settings{MaxJobs: n}
	for i := range n { // so that nobody waits for one
		settings.Users = append(settings.Users, messages.BuildUser{UID: 1000 + i, GID: 100})
	}
	return &simulation.Demand{Graph: g, Valid: g.Sources, Settings: settings, Arrivals: []simulation.Arrival{{RealiseTargets: top}}}, nil
}

func target(in derivation.Input) messages.Target {
	return messages.Target{Path: in.Path, Outputs: in.Outputs}
}
