package ports

import (
	"fmt"
	"sync"
	"time"

	"troupe/messages"
)

// Clock turns timers into messages.
type Clock struct {
	out    Outbox
	mu     sync.Mutex // guards timers
	timers map[timerKey]*time.Timer
}

type timerKey struct {
	owner messages.Address
	name  string
}

// NewClock makes the clock port.
func NewClock(out Outbox) *Clock { return &Clock{out: out, timers: map[timerKey]*time.Timer{}} }

// Handle takes one message.
func (c *Clock) Handle(m messages.Message) {
	switch m := m.(type) {
	case *messages.StartTimer:
		c.start(timerKey{m.Owner, m.Name}, m.After)
	case *messages.CancelTimer:
		c.stop(timerKey{m.Owner, m.Name})
		if m.Name == "" {
			c.stopAll(m.Owner)
		}
	default:
		panic(fmt.Sprintf("clock: unexpected %v", m))
	}
}

func (c *Clock) start(k timerKey, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.timers[k]; old != nil {
		old.Stop()
	}
	var t *time.Timer
	t = time.AfterFunc(after, func() {
		c.mu.Lock()
		current := c.timers[k] == t
		if current {
			delete(c.timers, k)
		}
		c.mu.Unlock()
		if current {
			c.out.Send(k.owner, &messages.TimerFired{Name: k.name, At: c.out.Now()})
		}
	})
	c.timers[k] = t
}

func (c *Clock) stop(k timerKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.timers[k]; t != nil {
		t.Stop()
		delete(c.timers, k)
	}
}

// stopAll is for an owner that panicked: nobody else has to know its timers.
func (c *Clock) stopAll(owner messages.Address) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, t := range c.timers {
		if k.owner == owner {
			t.Stop()
			delete(c.timers, k)
		}
	}
}

// Close stops every timer.
func (c *Clock) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, t := range c.timers {
		t.Stop()
		delete(c.timers, k)
	}
}
