package pace

import (
	"slices"
	"sync"
	"time"
)

// Go runs f in a goroutine, as the statement does, but for what that costs beside it: a
// new one begins with a small stack, which is copied each time that it grows, and most of
// what is done here goes deep. One that has ended what it did waits for a moment for
// more. What f panics with, or that it ends its goroutine, is as with the statement.
func Go(f func()) { everybody.run(f) }

var everybody crew

// patience is how long one waits for more.
const patience = 50 * time.Millisecond

// crew is goroutines that wait for something to do.
type crew struct {
	mu      sync.Mutex
	waiting []chan func() // the one that came last, whose stack is warm, goes first
}

func (c *crew) run(f func()) {
	c.mu.Lock()
	last := len(c.waiting) - 1
	if last < 0 {
		c.mu.Unlock()
		go c.work(f)
		return
	}
	one := c.waiting[last]
	c.waiting = c.waiting[:last]
	c.mu.Unlock()
	one <- f
}

func (c *crew) work(f func()) {
	more := make(chan func(), 1)
	var timer *time.Timer
	for {
		f()
		f = nil // so that nothing is kept by who waits
		c.join(more)
		if timer == nil {
			timer = time.NewTimer(patience)
			defer timer.Stop()
		} else {
			timer.Reset(patience)
		}
		select {
		case f = <-more:
		case <-timer.C:
			if c.leave(more) {
				return
			}
			f = <-more
		}
	}
}

func (c *crew) join(one chan func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, one)
}

// leave reports whether nobody has given one something to do meanwhile.
func (c *crew) leave(one chan func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.Index(c.waiting, one)
	if at < 0 {
		return false
	}
	c.waiting = slices.Delete(c.waiting, at, at+1)
	return true
}
