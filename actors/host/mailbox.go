package host

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"troupe/storage/pace"
)

// atOnce lets ports proceed whenever they have messages.
type atOnce struct{}

func (atOnce) Schedule(turns func()) { pace.Go(turns) }
func (atOnce) Throughput() int       { return everything }

// What a dispatcher's Throughput says of a turn.
const (
	oneMessage = 1 // and turns are had one after the other, whoever has them
	everything = 1 << 30
)

// mailbox is the queue of one actor. Unlike protoactor's own it hands over a
// single message per turn of [mailbox.deliver], so that what runs the turns
// (here a goroutine, in a simulation a seed) chooses the order in which actors
// proceed.
//
// It is not bounded: senders are machines, which never block. What bounds it
// is that each conversation has a bounded number of messages under way.
type mailbox struct {
	invoker    actor.MessageInvoker
	dispatcher actor.Dispatcher

	mu      sync.Mutex // guards what follows
	system  []any
	user    []any
	held    bool // suspended by protoactor: system messages only
	running bool // a goroutine delivers; not used where a turn is one message
	turn    func()
}

func newMailbox() actor.Mailbox { return &mailbox{} }

func (b *mailbox) RegisterHandlers(i actor.MessageInvoker, d actor.Dispatcher) {
	b.invoker, b.dispatcher, b.turn = i, d, b.drain
	if d.Throughput() == oneMessage {
		b.turn = func() { b.deliver() }
	}
}

func (b *mailbox) Start() {}

func (b *mailbox) UserMessageCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.user)
}

func (b *mailbox) PostUserMessage(m any) {
	b.mu.Lock()
	b.user = append(b.user, m)
	b.wake()
}

func (b *mailbox) PostSystemMessage(m any) {
	b.mu.Lock()
	b.system = append(b.system, m)
	b.wake()
}

// wake is called with the lock held, and gives it back.
func (b *mailbox) wake() {
	start := b.dispatcher.Throughput() == oneMessage || !b.running && b.runnable()
	b.running = b.running || start
	b.mu.Unlock()
	if start {
		b.dispatcher.Schedule(b.turn)
	}
}

func (b *mailbox) runnable() bool {
	return len(b.system) > 0 || (len(b.user) > 0 && !b.held)
}

func (b *mailbox) drain() {
	for b.deliver() {
	}
}

// deliver hands over one message, a system message first. It reports whether
// it did; after the last one the mailbox is idle.
func (b *mailbox) deliver() bool {
	b.mu.Lock()
	if !b.runnable() {
		b.running = false
		b.mu.Unlock()
		return false
	}
	system := len(b.system) > 0
	var m any
	if system {
		m, b.system = shift(b.system)
	} else {
		m, b.user = shift(b.user)
	}
	switch m.(type) {
	case *actor.SuspendMailbox:
		b.held = true
	case *actor.ResumeMailbox:
		b.held = false
		b.again()
	}
	b.mu.Unlock()
	if system {
		b.invoker.InvokeSystemMessage(m)
	} else {
		b.invoker.InvokeUserMessage(m)
	}
	return true
}

// again has turns for the messages whose own came while they were held; under mu.
func (b *mailbox) again() {
	if b.dispatcher.Throughput() == oneMessage {
		for range b.user {
			b.dispatcher.Schedule(b.turn)
		}
	}
}

// shift takes the first of a queue, and lets go of an emptied one's memory.
func shift(q []any) (any, []any) {
	m := q[0]
	q[0] = nil
	if len(q) == 1 {
		return m, nil
	}
	return m, q[1:]
}
