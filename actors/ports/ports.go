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
	busy := make(lanes, askedAtOnce)
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

// lanes bounds how many pieces of work run at a time. The work queues as
// waiting goroutines: one for each request that an actor has under way.
type lanes chan struct{} // as deep as what runs at a time

func (l lanes) run(work func()) {
	pace.Go(func() { l.do(work) })
}

func (l lanes) do(work func()) {
	l <- struct{}{}
	defer func() { <-l }()
	work()
}

// inOrder is lanes whose work is done in any order, and its results are told in
// that in which it came: who asks first is told first. It is of one goroutine.
type inOrder struct {
	lanes
	last chan struct{} // closed when the last result is told; nil before the first
}

// run does the work, and calls what that returns in its turn.
func (o *inOrder) run(work func() (tell func())) {
	before, told := o.last, make(chan struct{})
	o.last = told
	pace.Go(func() {
		defer close(told)
		var tell func()
		o.do(func() { tell = work() })
		if before != nil {
			<-before // the lane is for others meanwhile
		}
		tell()
	})
}
