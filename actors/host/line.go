package host

import (
	"sync"

	"troupe/storage/pace"
)

// line is the dispatcher of machines: all messages for them are taken in the order
// in which they came, one at a time. What is decided then follows from that order,
// and not from which goroutine happens to run first: of two goals that are made by
// one message, the first asks for a slot first. Steps are short and wait for nothing,
// so that there is nothing to be had from making several at once.
type line struct {
	mu      sync.Mutex // guards what follows
	turns   []any      // func()
	serving bool       // a goroutine is
}

func (l *line) Schedule(turn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turns = append(l.turns, turn)
	if !l.serving {
		l.serving = true
		pace.Go(l.serve)
	}
}

func (l *line) Throughput() int { return oneMessage }

func (l *line) serve() {
	for turn := l.next(); turn != nil; turn = l.next() {
		turn()
	}
}

// next is nil where nobody waits: who comes then begins to serve.
func (l *line) next() (turn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.serving = len(l.turns) > 0; !l.serving {
		return nil
	}
	var first any
	first, l.turns = shift(l.turns)
	return first.(func())
}
