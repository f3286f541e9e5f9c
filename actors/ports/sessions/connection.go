package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"troupe/actors/ports"
	"troupe/messages"
	"troupe/messages/workerproto"
)

// connection is one client.
type connection struct {
	p       *Sessions
	conn    net.Conn
	peer    Peer
	nest    *ports.Nest      // nil: it is not a builder
	address messages.Address // of the session's actor
	d       workerproto.Dialect
	r       *workerproto.Reader
	out     *output
	trusted bool
	inside  bool                    // the actor is there
	set     *workerproto.SetOptions // nil: nothing
	agreed  agreed
	owes    []*debt // with what others owe

	ctx    context.Context // ends when the client is gone
	cancel func()

	admitted chan string // "", or why not
	answers  chan *messages.ClientAnswered

	mu      sync.Mutex // guards what follows
	working bool       // an operation runs
	last    bool       // the connection is closed when it ends
	watch   chan error // of the watch for a hang-up that is under way, or nil
}

// errGone is a client that has hung up.
var errGone = errors.New("the client is gone")

// serve greets the client and performs its operations until it goes.
func (c *connection) serve() error {
	defer c.conn.Close()
	defer c.cancel()
	if err := c.greet(); err != nil {
		return err
	}
	for {
		op, err := c.next()
		if err != nil {
			return err
		}
		if err := c.operate(op); err != nil {
			return err
		}
		if !c.rest() {
			return nil
		}
	}
}

// greet shakes hands and asks the door. A client that may come in has all that is
// said to it at once, before it has said all of its own.
func (c *connection) greet() error {
	trust, err := c.trust()
	if err != nil {
		return err
	}
	if err := c.conn.SetDeadline(time.Now().Add(greetingTime)); err != nil {
		return err
	}
	server := workerproto.Server{Dir: c.p.s.Layout.Dir, Version: workerproto.Newest, NixVersion: NixVersion, Trust: trust,
		Features: []string{workerproto.RealisationWithPath}}
	if c.d, err = server.Hail(c.r, c.out.w); err != nil {
		return err
	}
	refusal := c.admit()
	if err := server.Welcome(c.out.w, c.d); err != nil {
		return err
	}
	if refusal == "" {
		err = c.out.end(&workerproto.Nothing{}, nil)
	} else {
		err = c.out.flush() // who is told no before he has said all may not read it
	}
	if err != nil {
		return err
	}
	if c.d, err = server.Hear(c.r, c.d); err != nil {
		return err
	}
	c.out.d = c.d
	if refusal != "" {
		refused := errors.New(refusal)
		return errors.Join(c.out.end(nil, refused), refused)
	}
	return c.conn.SetDeadline(time.Time{})
}

// trust is what the settings say of the client, who may not be allowed to connect.
func (c *connection) trust() (workerproto.Trust, error) {
	if c.nest != nil {
		return workerproto.NotTrusted, nil
	}
	access := c.p.settings.Load().Access
	if !access.Allows(c.peer) {
		return workerproto.NotTrusted, fmt.Errorf("user '%s' is not allowed to connect", c.peer.User)
	}
	if c.trusted = access.Trusts(c.peer); c.trusted {
		return workerproto.Trusted, nil
	}
	return workerproto.NotTrusted, nil
}

// greetingTime bounds the handshake: whoever has not said what he is gets no more
// of a connection than that.
const greetingTime = time.Minute

// NixVersion is the version of Nix whose daemon this one stands in for. It is
// what clients show, and decide by.
const NixVersion = "2.34.8"

// admit asks the door whether the client may have a session. The door answers
// everybody, and whoever it has let in must take leave of it: so its answer is waited
// for, although the connection may be closed meanwhile.
func (c *connection) admit() (refusal string) {
	hello := &messages.ClientConnected{Session: c.address}
	if c.nest != nil {
		hello.Within = c.nest.Goal
	}
	c.p.out.Send(messages.Door, hello)
	refusal = <-c.admitted
	c.inside = refusal == ""
	return refusal
}

// next awaits an operation.
func (c *connection) next() (workerproto.Op, error) {
	c.mu.Lock()
	watch := c.watch
	c.watch = nil
	c.mu.Unlock()
	if watch != nil {
		if err := <-watch; err != nil {
			return 0, errGone
		}
	}
	op, err := c.r.ReadOp()
	if errors.Is(err, io.EOF) {
		return 0, errGone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working = true
	return op, err
}

// rest ends an operation; it reports whether there may be another.
func (c *connection) rest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working = false
	return !c.last
}

// close ends the connection: when the operation under way is done or, with now,
// at once.
func (c *connection) close(now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = true
	if now || !c.working {
		c.cancel()
		c.conn.Close() // whatever is read or written fails
	}
}

// operate reads one request, performs it and replies. An error means that the
// connection is of no use any more.
func (c *connection) operate(op workerproto.Op) error {
	q, err := workerproto.DecodeRequest(c.r, op, c.d)
	c.out.begin()
	if err != nil {
		return errors.Join(c.out.end(nil, err), err)
	}
	body := c.body(q)
	reply, failure := c.perform(q, body)
	if lost := body.finish(failure); lost != nil {
		return errors.Join(c.out.end(nil, errors.Join(failure, lost)), lost)
	}
	if err := c.out.end(reply, failure); err != nil || failure != nil {
		return err
	}
	if n, isDump := q.(*workerproto.NarFromPath); isDump {
		return c.dump(n)
	}
	return nil
}
