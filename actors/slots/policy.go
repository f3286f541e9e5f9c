package slots

import "time"

// Who goes next is decided by, in this order:
//
//  1. urgency: what a client asks for, inherited by everything below it;
//  2. fair shares: the client that holds the fewest slots, and of those that
//     hold as many the one that was granted one the longest ago;
//  3. the longest remaining path to a top goal, weighed by recorded build
//     times, the goal's own build included;
//  4. age.

// best finds the goal that gets the next slot, or nil.
func (s *Slots) best() *entry {
	var best *entry
	for _, c := range s.order {
		if len(c.queue) == 0 {
			continue
		}
		if e := c.queue[0]; s.free(e) && (best == nil || beforeAcross(e, best)) {
			best = e
		}
	}
	return best
}

// beforeAcross compares the first of two clients.
func beforeAcross(a, b *entry) bool {
	if a.rank.Urgency != b.rank.Urgency {
		return a.rank.Urgency > b.rank.Urgency
	}
	if a.client.held != b.client.held {
		return a.client.held < b.client.held
	}
	if a.client.granted != b.client.granted {
		return a.client.granted < b.client.granted
	}
	return before(a, b)
}

// before compares two goals of one client.
func before(a, b *entry) bool {
	if a.rank.Urgency != b.rank.Urgency {
		return a.rank.Urgency > b.rank.Urgency
	}
	if pa, pb := a.path(), b.path(); pa != pb {
		return pa > pb
	}
	return a.turn < b.turn
}

// unknown is what a build counts for whose duration nobody has seen.
const unknown = time.Second

func (e *entry) path() time.Duration {
	own := e.expected
	if own == 0 {
		own = unknown
	}
	return e.rank.Remaining + own
}

// queue is a heap by [before].
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return before(q[i], q[j]) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.index = len(*q)
	*q = append(*q, e)
}
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return e
}
