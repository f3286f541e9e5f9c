package slots

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"troupe/messages"
)

// Policy decides who goes next, for each kind of slot by itself.
type Policy string

const (
	// Shares is what is used where nobody says otherwise. It looks at, in this
	// order:
	//
	//  1. urgency: what a client asks for, inherited by everything below it;
	//  2. fair shares: the client that holds the fewest slots of the kind, and of
	//     those that hold as many the one that was granted one the longest ago;
	//  3. the longest remaining path to a top goal, weighed by recorded build
	//     times, the goal's own build included;
	//  4. age.
	Shares Policy = "shares"
	// FirstCome grants slots in the order in which they are asked for.
	FirstCome Policy = "first-come"
	// ByName goes by the derivation's name, as the queue of Nix does.
	ByName Policy = "by-name"
)

// inTurn is Shares where there is one slot: all take as long in whatever order,
// so they go in that in which their goals were made.
const inTurn Policy = "in-turn"

// Policies lists those there are.
func Policies() []Policy { return []Policy{Shares, FirstCome, ByName} }

// ParsePolicy reads the name of a policy.
func ParsePolicy(name string) (Policy, error) {
	p := Policy(name)
	if slices.Contains(Policies(), p) {
		return p, nil
	}
	var names []string
	for _, p := range Policies() {
		names = append(names, string(p))
	}
	return "", fmt.Errorf("no policy '%s'; there are %s", name, strings.Join(names, ", "))
}

// best finds the goal that gets the next slot of a kind, or nil.
func (s *Slots) best(k messages.SlotKind) *entry {
	var best *entry
	for _, c := range s.order {
		for _, q := range c.shares[k].queues {
			if len(q.list) == 0 {
				continue
			}
			if e := q.list[0]; (best == nil || s.policies[k].across(e, best) < 0) && s.goes(e) {
				best = e
			}
		}
	}
	return best
}

// across compares the first goals of two clients; less than 0 is that a goes
// before b.
func (p Policy) across(a, b *entry) int {
	if p != Shares && p != inTurn {
		return p.within(a, b)
	}
	return cmp.Or(
		cmp.Compare(b.rank.Urgency, a.rank.Urgency),
		cmp.Compare(a.share().held, b.share().held),
		cmp.Compare(a.share().granted, b.share().granted),
		p.within(a, b))
}

// within compares two goals of one client.
func (p Policy) within(a, b *entry) int {
	switch p {
	case FirstCome:
		return cmp.Compare(a.turn, b.turn)
	case inTurn:
		return cmp.Or(cmp.Compare(b.rank.Urgency, a.rank.Urgency), cmp.Compare(a.turn, b.turn))
	case ByName:
		return cmp.Or(strings.Compare(a.name(), b.name()), cmp.Compare(a.turn, b.turn))
	}
	return cmp.Or(
		cmp.Compare(b.rank.Urgency, a.rank.Urgency),
		cmp.Compare(b.path(), a.path()),
		cmp.Compare(a.turn, b.turn))
}

// name is the derivation's own, without the hash before it.
func (e *entry) name() string {
	_, base, _ := strings.Cut(string(e.goal), "/")
	_, name, _ := strings.Cut(base, "-")
	return name
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

// queue is a heap by [Policy.within] of goals that can go to the same places.
type queue struct {
	policy Policy
	places string
	list   []*entry
}

func (q *queue) Len() int           { return len(q.list) }
func (q *queue) Less(i, j int) bool { return q.policy.within(q.list[i], q.list[j]) < 0 }

func (q *queue) Swap(i, j int) {
	q.list[i], q.list[j] = q.list[j], q.list[i]
	q.list[i].index, q.list[j].index = i, j
}

func (q *queue) Push(x any) {
	e := x.(*entry)
	e.index = len(q.list)
	q.list = append(q.list, e)
}

func (q *queue) Pop() any {
	last := len(q.list) - 1
	e := q.list[last]
	q.list[last] = nil
	q.list = q.list[:last]
	return e
}
