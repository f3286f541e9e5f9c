package slots

import (
	"time"

	"troupe/messages"
)

// Who goes next is decided for each kind of slot by itself, by, in this order:
//
//  1. urgency: what a client asks for, inherited by everything below it;
//  2. fair shares: the client that holds the fewest slots of the kind, and of those that
//     hold as many the one that was granted one the longest ago;
//  3. the longest remaining path to a top goal, weighed by recorded build
//     times, the goal's own build included;
//  4. age.

// best finds the goal that gets the next slot of a kind, or nil.
func (s *Slots) best(k messages.SlotKind) *entry {
	var best *entry
	for _, c := range s.order {
		q := c.shares[k].queue
		if len(q) == 0 {
			continue
		}
		if e := q[0]; s.free(e) && (best == nil || beforeAcross(e, best)) {
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
	if sa, sb := a.share(), b.share(); sa.held != sb.held {
		return sa.held < sb.held
	} else if sa.granted != sb.granted {
		return sa.granted < sb.granted
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
