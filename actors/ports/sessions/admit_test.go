package sessions

import (
	"context"
	"testing"
	"time"

	"troupe/messages"
)

// nobody hears what is sent.
type nobody struct{}

func (nobody) Send(messages.Address, messages.Message) {}
func (nobody) Now() time.Duration                      { return 0 }

// Whoever is let in is inside, although the connection is closed at that very moment,
// as a service that ends does it: else nobody would tell the session that its client
// is gone, and the service would never have drained.
func TestLetInWhileItIsClosed(t *testing.T) {
	for range 100 {
		c := &connection{p: &Sessions{out: nobody{}}, admitted: make(chan string, 1)}
		c.ctx, c.cancel = context.WithCancel(t.Context())
		c.admitted <- ""
		c.cancel()
		if refusal := c.admit(); refusal != "" || !c.inside {
			t.Fatal("it was let in, and is not inside")
		}
	}
}
