// Package sessions is the port through which the daemon's clients come: it speaks
// their protocol, answers what they only ask, and gives to a session's actor what
// is decided or waited for.
//
// Each connection has a goroutine, which is all that an idle one costs. While the
// worker is at work for it, a second one watches for a client that hangs up, and
// others follow the logs of its builds.
package sessions

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"troupe/actors/ports"
	"troupe/actors/ports/caches"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/addition"
)

// Settings are what the service's settings say about clients.
type Settings struct {
	Access Access
	Trust  addition.Trust
	// What collections keep beside what is needed.
	KeepDerivations, KeepOutputs bool
	// Terms are a client's terms by what it has set; nil is nothing. Warnings are
	// for the client.
	Terms func(set *workerproto.SetOptions, trusted bool) (terms messages.Terms, warnings []string)
}

// Sessions is the port.
type Sessions struct {
	out      ports.Outbox
	s        ports.Services
	subs     *caches.Substituters
	settings atomic.Pointer[Settings]
	progress *Progress
	modulos  *addition.Modulos // of what all clients add
	debts    *debts

	number  func() uint64 // of requests and of sessions
	serving sync.WaitGroup
	drained chan struct{}

	mu          sync.Mutex // guards what follows
	connections map[messages.Address]*connection
}

// New makes the port. What is watched is told to progress. number gives numbers
// that nobody else in the tree has.
func New(out ports.Outbox, s ports.Services, subs *caches.Substituters, settings Settings, progress *Progress, number func() uint64) *Sessions {
	p := &Sessions{out: out, number: number, s: s, subs: subs, progress: progress, drained: make(chan struct{}),
		connections: map[messages.Address]*connection{}, modulos: &addition.Modulos{Layout: s.Layout, Valid: s.DB.Valid},
		debts: &debts{commit: (&addition.Adder{Layout: s.Layout, DB: s.DB}).Commit}}
	p.Configure(settings)
	return p
}

// Configure changes the settings for clients that come from now on, and for what
// others ask from now on.
func (p *Sessions) Configure(s Settings) { p.settings.Store(&s) }

// Handle takes one message.
func (p *Sessions) Handle(m messages.Message) {
	switch m := m.(type) {
	case *messages.SessionOpened:
		p.tell(m.Session, "")
	case *messages.SessionRefused:
		p.tell(m.Session, m.Reason)
	case *messages.ClientAnswered:
		if c := p.find(m.Session); c != nil {
			c.answers <- m
		}
	case *messages.CloseConnection:
		if c := p.find(m.Session); c != nil {
			c.close(m.Now)
		}
	case *messages.Drained:
		close(p.drained)
	default:
		panic(fmt.Sprintf("sessions: unexpected %v", m))
	}
}

func (p *Sessions) tell(at messages.Address, refusal string) {
	if c := p.find(at); c != nil {
		c.admitted <- refusal
	}
}

func (p *Sessions) find(at messages.Address) *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connections[at]
}

// Serve speaks with one client until it goes; it closes the connection. peer is
// who the client is.
func (p *Sessions) Serve(conn net.Conn, peer Peer) {
	p.serving.Add(1)
	defer p.serving.Done()
	p.serve(p.open(context.Background(), conn, peer, nil))
}

func (p *Sessions) serve(c *connection) {
	if err := c.serve(); err != nil && !isHangUp(err) {
		p.s.Log.Debug().Err(err).Str("session", string(c.address)).Str("user", c.peer.User).Msg("connection ends")
	}
	if len(c.owes) > 0 {
		if err := c.settle(); err != nil {
			p.s.Log.Error().Err(err).Str("user", c.peer.User).Msg("what a client has added is lost if this machine stops now")
		}
	}
	p.mu.Lock()
	delete(p.connections, c.address)
	p.mu.Unlock()
	if c.inside {
		p.out.Send(c.address, &messages.ClientGone{})
	}
}

// open makes a connection, with a nest if it is a builder's. It ends with ctx.
func (p *Sessions) open(ctx context.Context, conn net.Conn, peer Peer, nest *ports.Nest) *connection {
	ctx, cancel := context.WithCancel(ctx)
	c := &connection{p: p, conn: conn, peer: peer, nest: nest, address: messages.Address(fmt.Sprintf("session/%d", p.number())),
		r: workerproto.NewReader(conn), out: newOutput(conn), ctx: ctx, cancel: cancel,
		admitted: make(chan string, 1), answers: make(chan *messages.ClientAnswered, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connections[c.address] = c
	return c
}

// isHangUp reports whether an error is a client that went away, as clients do.
func isHangUp(err error) bool {
	return errors.Is(err, errGone) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)
}

// Drain lets nobody in any more, and returns when all connections have ended,
// those that build after patience at the latest, and a little for last words.
func (p *Sessions) Drain(patience time.Duration) {
	p.out.Send(messages.Door, &messages.Drain{Patience: patience})
	select {
	case <-p.drained:
	case <-time.After(patience + lastWords): // they do not read
		p.closeAll()
		<-p.drained
	}
	p.closeAll() // of those that never came in
	p.serving.Wait()
}

// lastWords is how long a client may take to read that its build is cancelled.
const lastWords = 2 * time.Second

func (p *Sessions) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.connections {
		c.close(true)
	}
}
