package host

import (
	"time"

	"troupe/messages"
)

// Step is one message that one machine took.
type Step struct {
	At      time.Duration // since the runtime started
	Actor   messages.Address
	Message messages.Message
	State   string // afterwards
	Effects []Effect
	Panic   string // why the machine gave up, if it did
}

// Journal receives each step once, before its effects happen. It is called
// from many goroutines and must not block.
type Journal interface{ Record(Step) }
