// Package ports holds the actors that do I/O: each turns a message into I/O
// and its result into a message, and decides nothing. A port's handler takes
// one message at a time and must not block, so the work itself runs in
// goroutines, of which there is a bounded number a port.
package ports

import (
	"time"

	"troupe/messages"
)

// Outbox is where ports send their results.
type Outbox interface {
	Send(to messages.Address, m messages.Message)
	// Now is the clock of every time in a message.
	Now() time.Duration
}

// lanes bounds how many pieces of work run at a time. The work queues as
// waiting goroutines: one for each request that an actor has under way.
type lanes chan struct{} // as deep as what runs at a time

func (l lanes) run(work func()) {
	go func() {
		l <- struct{}{}
		defer func() { <-l }()
		work()
	}()
}
