package makespan

import (
	"slices"
	"time"
)

// Floor is what no order can be below with n slots. It is sharper than the longest
// path and the work for each slot: of any nodes that can begin after a head and are
// followed by a tail at the least, the work is done between the two.
//
//	max over heads and tails:  head + work of those nodes / n + tail
//
// A graph that begins with a long chain, from which all else is made, keeps slots
// idle whoever goes next.
func (p Plan) Floor(n int) time.Duration {
	heads, tails := p.heads(), p.tails()
	floor := max(p.Critical(), p.Work()/time.Duration(n))
	for _, h := range sample(heads) {
		for _, t := range sample(tails) {
			var work time.Duration
			for i, took := range p.Took {
				if heads[i] >= h && tails[i] >= t {
					work += took
				}
			}
			if work > 0 {
				floor = max(floor, h+work/time.Duration(n)+t)
			}
		}
	}
	return floor
}

// heads are the longest paths that end before each node.
func (p Plan) heads() []time.Duration {
	heads := make([]time.Duration, len(p.Took))
	for i, n := range p.Shape.Nodes {
		for _, in := range n.Inputs {
			heads[i] = max(heads[i], heads[in]+p.Took[in])
		}
	}
	return heads
}

// tails are the longest paths that begin after each node.
func (p Plan) tails() []time.Duration {
	tails := make([]time.Duration, len(p.Took))
	for i := len(p.Took) - 1; i >= 0; i-- {
		for _, in := range p.Shape.Nodes[i].Inputs {
			tails[in] = max(tails[in], tails[i]+p.Took[i])
		}
	}
	return tails
}

// sample is at most 300 of some times, spread over all of them: any choice of heads
// and tails gives a true floor.
func sample(times []time.Duration) (some []time.Duration) {
	all := slices.Compact(slices.Sorted(slices.Values(times)))
	for i := range min(len(all), 300) {
		some = append(some, all[i*len(all)/min(len(all), 300)])
	}
	return some
}
