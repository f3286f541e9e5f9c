package pace

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// size is how many wait for something to do.
func (c *crew) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

// All that is given is done, at once, however many are there to do it.
func TestAllIsDone(t *testing.T) {
	var c crew
	for range 3 {
		var met, done sync.WaitGroup
		met.Add(20)
		for range 20 {
			done.Add(1)
			c.run(func() {
				defer done.Done()
				met.Done()
				met.Wait() // nobody waits for another's end
			})
		}
		done.Wait()
	}
}

// Who has ended is used again, and the last one first.
func TestUsedAgain(t *testing.T) {
	var c crew
	one := make(chan func(), 1)
	other := make(chan func(), 1)
	c.join(other)
	c.join(one)
	c.run(func() {})
	if len(one) != 1 || len(other) != 0 || c.size() != 1 {
		t.Errorf("it went to %d and %d, and %d wait", len(one), len(other), c.size())
	}
}

// Who has nothing to do goes, and one that is given something while it goes does it.
func TestWhoWaitsGoes(t *testing.T) {
	var c crew
	before := runtime.NumGoroutine()
	var done sync.WaitGroup
	done.Add(10)
	for range 10 {
		c.run(done.Done)
	}
	done.Wait()
	for deadline := time.Now().Add(time.Minute); c.size() > 0 || runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, and %d goroutines are there, of %d before", c.size(), runtime.NumGoroutine(), before)
		}
	}
	one := make(chan func(), 1)
	c.join(one)
	c.run(func() {})
	if c.leave(one) {
		t.Error("one left that was given something to do")
	}
}
