package remotestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync/atomic"
	"time"

	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// Conn is a connection to a store, for one goroutine at a time.
type Conn struct {
	workerproto.Peer
	// Hear is told what the store says while it is at work; nil is nobody.
	Hear func(workerproto.Frame)

	store  string // for errors
	wire   wire
	pulse  *pulse // the wire's
	r      *workerproto.Reader
	w      *workerproto.Writer
	since  time.Time
	heard  uint64      // frames
	reused bool        // it waited for somebody, and may have ended meanwhile
	broken atomic.Bool // what comes next is not known any more
}

// wire is what leads to a store.
type wire interface {
	io.ReadWriteCloser
	// idle reports whether nothing has come that nobody asked for, and the
	// other end is there.
	idle() bool
	// epitaph is why it ended, as far as it knows more than the reason.
	epitaph(reason error) error
}

func newConn(store string, on wire) *Conn {
	p := &pulse{wire: on}
	return &Conn{store: store, wire: on, pulse: p, r: workerproto.NewReader(p), w: workerproto.NewWriter(p), since: time.Now()}
}

// Lost is that the store went away, for a reason.
func (c *Conn) Lost(reason error) error {
	c.broken.Store(true)
	return &LostError{c.store, c.wire.epitaph(reason)}
}

// greet agrees on a dialect between two versions.
func (c *Conn) greet(dir storepath.Dir, oldest, newest workerproto.Version) (err error) {
	c.Peer, err = workerproto.Client{Dir: dir, Version: newest}.Connect(c.r, c.w)
	if err != nil {
		return c.Lost(err)
	}
	err = c.frames(nil)
	var refused *workerproto.Error
	if errors.As(err, &refused) {
		return &RefusedError{c.store, refused.Message}
	}
	if err == nil && c.Version < oldest {
		return &RefusedError{c.store, fmt.Sprintf("it speaks version %v of the protocol, and %v is needed", c.Version, oldest)}
	}
	return err
}

// Close ends the connection. What is under way fails.
func (c *Conn) Close() error {
	c.broken.Store(true)
	return c.wire.Close()
}

// interruptible runs f, and closes the connection when ctx ends meanwhile.
func (c *Conn) interruptible(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	err := f()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Tell performs an operation, of whose reply the caller knows the type. The error
// is a [*workerproto.Error] where the store says that it failed, and a
// [*LostError] where the connection is of no use any more.
func Tell[P workerproto.Reply](ctx context.Context, c *Conn, q workerproto.Request) (P, error) {
	return Send[P](ctx, c, q, nil)
}

// Send is [Tell] of a request that bytes follow, which stream writes.
func Send[P workerproto.Reply](ctx context.Context, c *Conn, q workerproto.Request, stream func(io.Writer) error) (P, error) {
	var reply P
	err := c.interruptible(ctx, func() error {
		if err := c.perform(q, stream); err != nil {
			return err
		}
		p, err := workerproto.ReadReply(c.r, q, c.Dialect)
		if err != nil {
			return c.Lost(err)
		}
		reply = p.(P)
		return nil
	})
	return reply, err
}

// perform sends a request, and hears what is said until it is done. It listens
// while it sends: a store may have much to say of what it gets.
func (c *Conn) perform(q workerproto.Request, stream func(io.Writer) error) error {
	if err := workerproto.WriteRequest(c.w, q, c.Dialect); err != nil {
		c.broken.Store(true) // some of it may be on its way
		return err
	}
	how := q.Stream(c.Dialect)
	if how == workerproto.StreamNone || how == workerproto.StreamPull {
		if err := c.w.Flush(); err != nil {
			return c.Lost(err)
		}
	}
	switch how {
	case workerproto.StreamNone:
		return c.frames(nil)
	case workerproto.StreamPull:
		return c.pulled(stream)
	}
	sent := make(chan error, 1)
	go func() { sent <- c.push(how, stream) }()
	heard := c.frames(nil)
	var failed *sourceError
	if err := <-sent; errors.As(err, &failed) {
		return failed.err
	}
	return heard
}

// colour is what Nix's daemons emphasise parts of an error with, for a terminal that
// ours may not be.
var colour = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// frames hears what the store says until the operation is done. Of from it gives
// what the store asks for.
func (c *Conn) frames(from io.Reader) error {
	for {
		m, err := workerproto.ReadFrame(c.r, c.Dialect)
		if err != nil {
			return c.Lost(err)
		}
		c.heard++
		switch m := m.(type) {
		case *workerproto.Last:
			return nil
		case *workerproto.Error:
			m.Message = colour.ReplaceAllString(m.Message, "")
			return m
		case *workerproto.Read:
			if err := c.give(from, m.Max); err != nil {
				return err
			}
			continue
		}
		if c.Hear != nil {
			c.Hear(m)
		}
	}
}
