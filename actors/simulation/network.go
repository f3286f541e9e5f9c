package simulation

import (
	"math/rand/v2"
	"strings"

	"troupe/actors/worker"
	"troupe/messages"
)

// network has the messages that are under way. Those from one sender to one
// receiver arrive in their order, and all others in any. A goal and what cleans up
// after it are one sender: the service takes messages in the order in which they
// were sent, and a clean-up is sent nothing before its goal is gone.
type network struct {
	rng    *rand.Rand       // nil: the senders take turns, in their order
	slow   messages.Address // takes its messages late
	routes map[route]*queue
	busy   []*queue // those with messages
}

type route struct{ from, to messages.Address }

type queue struct {
	route
	list []letter
}

type letter struct {
	from messages.Address
	messages.Message
}

func newNetwork(rng *rand.Rand, slow messages.Address) *network {
	return &network{rng: rng, slow: slow, routes: map[route]*queue{}}
}

func (n *network) send(from, to messages.Address, m messages.Message) {
	r := route{messages.Address(strings.TrimPrefix(string(from), worker.CleanUps)), to}
	q := n.routes[r]
	if q == nil {
		q = &queue{route: r}
		n.routes[r] = q
	}
	if len(q.list) == 0 {
		n.busy = append(n.busy, q)
	}
	q.list = append(q.list, letter{from, m})
}

// next takes one of the messages that may arrive now.
func (n *network) next() (from, to messages.Address, m messages.Message) {
	if n.rng == nil {
		return n.inTurn()
	}
	i := n.rng.IntN(len(n.busy))
	for tries := 0; n.busy[i].to == n.slow && tries < patience; tries++ {
		i = n.rng.IntN(len(n.busy))
	}
	q := n.busy[i]
	first := q.list[0]
	q.list = q.list[1:]
	if len(q.list) == 0 {
		last := len(n.busy) - 1
		n.busy[i] = n.busy[last]
		n.busy = n.busy[:last]
		delete(n.routes, q.route)
	}
	return first.from, q.to, first.Message
}

// inTurn takes a message of the route that has waited the longest.
func (n *network) inTurn() (from, to messages.Address, m messages.Message) {
	q := n.busy[0]
	n.busy = n.busy[1:]
	first := q.list[0]
	q.list = q.list[1:]
	if len(q.list) > 0 {
		n.busy = append(n.busy, q)
	} else {
		delete(n.routes, q.route)
	}
	return first.from, q.to, first.Message
}

// patience is how often another message goes before that of a slow actor.
const patience = 4

// late reports whether nothing is under way but what a slow actor takes late.
func (n *network) late() bool { return len(n.busy) == 1 && n.busy[0].to == n.slow }

func (n *network) quiet() bool { return len(n.busy) == 0 }

// clear loses every message, as the death of the process does.
func (n *network) clear() { n.routes, n.busy = map[route]*queue{}, nil }
