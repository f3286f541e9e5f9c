package binarycache

import (
	"fmt"
	"time"
)

// A cache is left alone once failuresToOpen requests in a row have failed over at least openAfter: a blip that the
// pauses between attempts bridge does not open the breaker, however many requests it hits at once.
const (
	failuresToOpen = 5
	openAfter      = 2 * time.Second
	firstOpen      = 10 * time.Second // how long it stays open, doubled each time that a probe fails
	longestOpen    = 5 * time.Minute
)

// BreakerState says whether requests go to a cache.
type BreakerState uint8

const (
	Closed   BreakerState = iota // they do
	Open                         // they do not, until a time
	HalfOpen                     // one does, as a probe; the others wait for its end
)

func (s BreakerState) String() string { return [...]string{"closed", "open", "half-open"}[s] }

// Breaker is the circuit breaker of one cache: a pure machine that is told the time. Each request asks first, and
// tells how it ended.
//
//	state      what             next
//	Closed     enough failures  Open
//	Open       its time is up   HalfOpen, at the next request, which is the probe
//	HalfOpen   probe succeeded  Closed
//	HalfOpen   probe failed     Open, for twice as long
//	HalfOpen   probe abandoned  Open, its time being up
//	any        a success        Closed: somebody was answered
type Breaker struct {
	state    BreakerState
	turn     uint64        // counts changes of state: what was asked before one is late after it
	failures int           // in a row
	first    time.Time     // of these failures
	since    time.Time     // of Open and HalfOpen: when the cache was last found well enough to be asked freely
	until    time.Time     // of Open
	length   time.Duration // of the last Open
}

// Ticket is one request's permission.
type Ticket struct{ turn uint64 }

// Status is what a breaker says to those who wait.
type Status struct {
	State BreakerState
	Since time.Time // that the cache is left alone; zero when closed
	Until time.Time // that no request goes to it; zero when closed
}

// Status is the state of a breaker.
func (b *Breaker) Status() Status {
	if b.state == Closed {
		return Status{}
	}
	return Status{b.state, b.since, b.until}
}

func (b *Breaker) become(s BreakerState) {
	b.state = s
	b.turn++
	if s == Closed {
		b.failures, b.length = 0, 0
	}
}

// Ask says whether a request may go out now.
func (b *Breaker) Ask(now time.Time) (Ticket, bool) {
	switch {
	case b.state == Open && !now.Before(b.until):
		b.become(HalfOpen)
	case b.state != Closed:
		return Ticket{}, false
	}
	return Ticket{b.turn}, true
}

// Succeeded says that the server answered, be it that it has nothing.
func (b *Breaker) Succeeded() {
	if b.state != Closed {
		b.become(Closed)
	}
	b.failures = 0
}

// Failed says that the server did not answer, or badly.
func (b *Breaker) Failed(t Ticket, now time.Time) {
	if t.turn != b.turn { // late: of before the last change
		return
	}
	if b.state == HalfOpen {
		b.open(now)
		return
	}
	if b.failures == 0 {
		b.first = now
	}
	b.failures++
	if b.failures >= failuresToOpen && now.Sub(b.first) >= openAfter {
		b.since = now
		b.open(now)
	}
}

func (b *Breaker) open(now time.Time) {
	b.length = min(max(2*b.length, firstOpen), longestOpen)
	b.until = now.Add(b.length)
	b.become(Open)
}

// Abandoned says that nobody waited for the answer.
func (b *Breaker) Abandoned(t Ticket) {
	if b.state == HalfOpen && t.turn == b.turn {
		b.become(Open)
	}
}

func (b *Breaker) String() string {
	if b.state == Closed {
		return fmt.Sprintf("closed, %d failures", b.failures)
	}
	return fmt.Sprintf("%v since %s until %s", b.state, b.since.Format(time.TimeOnly), b.until.Format(time.TimeOnly))
}
