// Package ports holds the actors that do I/O: each turns a message into I/O
// and its result into a message, and decides nothing. A port's handler takes
// one message at a time and must not block, so the work itself runs in
// goroutines, of which there is a bounded number a port.
package ports

import (
	"cmp"
	"sync"
	"time"

	"troupe/messages"
	"troupe/storage/pace"
)

// Outbox is where ports send their results.
type Outbox interface {
	Send(to messages.Address, m messages.Message)
	// Now is the clock of every time in a message.
	Now() time.Duration
}

// ForEach calls f for each number below n, some at a time, and returns the first
// error there is when all are done.
func ForEach(n int, f func(i int) error) error {
	if n == 1 {
		return f(0)
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	busy := make(chan struct{}, askedAtOnce)
	for i := range n {
		busy <- struct{}{}
		wg.Add(1)
		pace.Go(func() {
			defer wg.Done()
			defer func() { <-busy }()
			errs[i] = f(i)
		})
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// askedAtOnce is how many look-ups of one client run at a time.
const askedAtOnce = 64

// lanes bounds how many pieces of work run at a time. What waits is only a function:
// as goroutines, each with the stack that its work needs, ten thousand questions
// that come at once took as much memory as all that they ask for.
type lanes struct {
	mu    sync.Mutex // guards what follows
	free  int
	queue []func()
}

func newLanes(n int) *lanes { return &lanes{free: n} }

func (l *lanes) run(work func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free == 0 {
		l.queue = append(l.queue, work)
		return
	}
	l.free--
	pace.Go(func() { l.serve(work) })
}

// serve does work, and then what has come meanwhile.
func (l *lanes) serve(work func()) {
	for work != nil {
		work()
		work = l.next()
	}
}

// next gives the lane back where it is nil.
func (l *lanes) next() (work func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.queue = nil
		l.free++
		return nil
	}
	work, l.queue[0] = l.queue[0], nil
	l.queue = l.queue[1:]
	return work
}

// inOrder is lanes whose work is done in any order, and its results are told in
// that in which it came: who asks first is told first.
type inOrder struct {
	*lanes

	mu      sync.Mutex // guards what follows
	turns   []*turn    // of what is not told, in the order in which it came
	telling bool       // a goroutine is
}

// turn is a piece of work.
type turn struct{ tell func() } // nil before it is done

// run does the work, and calls what that returns in its turn.
func (o *inOrder) run(work func() (tell func())) {
	t := &turn{}
	o.mu.Lock()
	o.turns = append(o.turns, t)
	o.mu.Unlock()
	o.lanes.run(func() {
		tell := work()
		o.mu.Lock()
		defer o.mu.Unlock()
		t.tell = tell
		o.tellAll()
	})
}

// tellAll tells what is done and has nothing before it that is not. It is called with
// the lock held, which is given back while something is told.
func (o *inOrder) tellAll() {
	if o.telling {
		return
	}
	o.telling = true
	for len(o.turns) > 0 && o.turns[0].tell != nil {
		first := o.turns[0]
		o.turns[0] = nil
		o.turns = o.turns[1:]
		o.mu.Unlock()
		first.tell()
		o.mu.Lock()
	}
	o.telling = false
}
