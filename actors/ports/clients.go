package ports

import (
	"context"
	"fmt"
	"sync"

	"troupe/messages"
)

// Clients is the edge between the worker and Go callers: a request goes in as a
// message, and its answer comes back as a return value.
type Clients struct {
	out     Outbox
	mu      sync.Mutex // guards what follows
	last    uint64
	answers map[uint64]chan []messages.Result
	rest    []chan struct{}
}

// NewClients makes the edge.
func NewClients(out Outbox) *Clients {
	return &Clients{out: out, answers: map[uint64]chan []messages.Result{}}
}

// Handle takes one message.
func (c *Clients) Handle(m messages.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m := m.(type) {
	case *messages.TargetsRealised:
		c.answers[m.Request] <- m.Results
		delete(c.answers, m.Request)
	case *messages.AtRest:
		for _, ch := range c.rest {
			close(ch)
		}
		c.rest = nil
	default:
		panic(fmt.Sprintf("clients: unexpected %v", m))
	}
}

// Number is one that no other request of the tree has.
func (c *Clients) Number() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	return c.last
}

// Realise makes targets valid and returns one result each. The request's client
// is set here, and its number where it is 0. Where ctx ends first it is withdrawn, and what is not
// done is [messages.Cancelled].
func (c *Clients) Realise(ctx context.Context, r messages.RealiseTargets) []messages.Result {
	if r.Request == 0 {
		r.Request = c.Number()
	}
	r.Client = messages.Clients
	answer := make(chan []messages.Result, 1)
	c.mu.Lock()
	c.answers[r.Request] = answer
	c.mu.Unlock()
	c.out.Send(messages.Worker, &r)
	select {
	case results := <-answer:
		return results
	case <-ctx.Done():
		c.out.Send(messages.Worker, &messages.CancelRequest{Request: r.Request})
		return <-answer
	}
}

// AwaitRest returns once the worker has nothing left to do, or ctx ends.
func (c *Clients) AwaitRest(ctx context.Context) error {
	rest := make(chan struct{})
	c.mu.Lock()
	c.rest = append(c.rest, rest)
	c.mu.Unlock()
	c.out.Send(messages.Worker, &messages.AwaitRest{From: messages.Clients})
	select {
	case <-rest:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
