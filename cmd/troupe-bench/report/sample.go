// Package report holds what was measured, and prints it: as a table, as Markdown
// and as JSON. Times are in seconds and memory in bytes.
package report

import (
	"slices"
)

// Sample is one measured run.
type Sample struct {
	Items   int     // derivations, paths, requests: what the row counts
	Wall    float64 // of the client, from its start to its end
	CPU     float64 // of the daemon and its builders
	Builder float64 // of that, what the builders use by themselves
	Peak    int64   // proportional set size of all of the daemon's processes
	Idle    int64   // the same before
	Score   float64 // of rows that count something else than time; see [Row]
}

// PerItem is wall time an item.
func (s Sample) PerItem() float64 { return s.Wall / float64(max(s.Items, 1)) }

// CPUPerItem is the daemon's own processor time an item.
func (s Sample) CPUPerItem() float64 { return (s.CPU - s.Builder) / float64(max(s.Items, 1)) }

// Row is the runs of one piece of work, self's and the peer's in turn.
type Row struct {
	Name  string // "P3"
	Work  string // what is done
	Items string // what an item is
	Score string // what Score counts, if it is used: "connections", for instance
	Self  []Sample
	Peer  []Sample `json:",omitempty"`
	Error string   `json:",omitempty"` // why there are no figures
}

// Side says what was measured.
type Side struct {
	Name, Command, Version string
	// Syncs counts the system calls that flush to the disk, in builds of 20
	// derivations; nil where they could not be counted.
	Syncs map[string]int `json:",omitempty"`
}

// Report is a run of the benchmark.
type Report struct {
	Machine Machine
	Date    string
	Rounds  int
	Scale   float64
	Self    Side
	Peer    *Side `json:",omitempty"`
	Rows    []Row
}

// Spread is a middle value and the extremes.
type Spread struct{ Median, Min, Max float64 }

// spread is that of some figures.
func spread(list []float64) Spread {
	if len(list) == 0 {
		return Spread{}
	}
	list = slices.Sorted(slices.Values(list))
	mid := list[len(list)/2]
	if len(list)%2 == 0 {
		mid = (mid + list[len(list)/2-1]) / 2
	}
	return Spread{mid, list[0], list[len(list)-1]}
}

// figures are one figure of each sample.
func figures(list []Sample, f func(Sample) float64) (all []float64) {
	for _, s := range list {
		all = append(all, f(s))
	}
	return all
}

// Of is the spread of a figure over the samples of a side.
func Of(list []Sample, f func(Sample) float64) Spread { return spread(figures(list, f)) }

// Ratio is self to peer, each round by itself: what disturbs the machine in a round
// disturbs both.
func (r Row) Ratio(f func(Sample) float64) Spread {
	var list []float64
	for i := range min(len(r.Self), len(r.Peer)) {
		if peer := f(r.Peer[i]); peer > 0 {
			list = append(list, f(r.Self[i])/peer)
		}
	}
	return spread(list)
}
