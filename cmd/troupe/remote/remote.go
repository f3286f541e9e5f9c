// Package remote is a client of the daemon that holds a store: Nix's or ours. It
// asks and is answered, adds what is to be built, and turns what the daemon says
// of its builds into what goals say of themselves, so that the same display
// shows it.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// Client is a connection to a daemon, for one goroutine at a time.
type Client struct {
	workerproto.Peer
	// Hear is told what the daemon says while it is at work; nil is nobody.
	Hear func(workerproto.Frame)

	socket string
	conn   net.Conn
	r      *workerproto.Reader
	w      *workerproto.Writer
}

// ErrNobody is that nobody listens at a socket.
var ErrNobody = errors.New("nobody listens there")

// RefusedError is a daemon that takes no client, or not this one.
type RefusedError struct{ Socket, Reason string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("connect to the daemon at '%s': %s", e.Socket, e.Reason)
}

// LostError is a daemon that went away before it had answered.
type LostError struct {
	Socket string
	Err    error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("ask the daemon at '%s': it went away: %v", e.Socket, e.Err)
}
func (e *LostError) Unwrap() error { return e.Err }

// Lost is that the daemon went away, for a reason.
func (c *Client) Lost(reason error) error { return &LostError{c.socket, reason} }

// oldest is the version that brought results for each target.
var oldest = workerproto.MakeVersion(1, 34)

// Dial connects to the daemon at a socket, for paths of dir. The error is
// [ErrNobody], a [*RefusedError], a [*LostError] or that of the socket.
func Dial(ctx context.Context, socket string, dir storepath.Dir) (*Client, error) {
	conn, err := connect(ctx, socket)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTDIR) {
		return nil, ErrNobody
	}
	if err != nil {
		return nil, fmt.Errorf("connect to the daemon at '%s': %w", socket, err)
	}
	c := &Client{socket: socket, conn: conn, r: workerproto.NewReader(conn), w: workerproto.NewWriter(conn)}
	if err := c.interruptible(ctx, func() error { return c.greet(dir) }); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Client) greet(dir storepath.Dir) (err error) {
	c.Peer, err = workerproto.Client{Dir: dir, Version: workerproto.Newest}.Connect(c.r, c.w)
	if err != nil {
		return c.Lost(err)
	}
	err = c.frames()
	var refused *workerproto.Error
	if errors.As(err, &refused) {
		return &RefusedError{c.socket, refused.Message}
	}
	if err == nil && c.Version < oldest {
		return &RefusedError{c.socket, fmt.Sprintf("it speaks version %v of the protocol, and %v is needed", c.Version, oldest)}
	}
	return err
}

// connect dials, also where the name is longer than a socket's address may be.
func connect(ctx context.Context, socket string) (conn net.Conn, err error) {
	err = AtShortName(socket, func(name string) error {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", name)
		return err
	})
	return conn, err
}

// maxAddress is how long the name in a socket's address may be, in bytes.
const maxAddress = 107

// AtShortName gives f a name of a socket that fits into an address.
func AtShortName(socket string, f func(name string) error) error {
	if len(socket) <= maxAddress {
		return f(socket)
	}
	dir, err := os.OpenFile(filepath.Dir(socket), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(socket))), dir.Close())
}

// Close ends the connection.
func (c *Client) Close() error {
	err := c.conn.Close()
	if errors.Is(err, net.ErrClosed) { // the context did
		return nil
	}
	return err
}

// interruptible runs f, and closes the connection when ctx ends meanwhile.
func (c *Client) interruptible(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	err := f()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Tell performs an operation, of whose reply the caller knows the type. The error
// is a [*workerproto.Error] where the daemon says that it failed, and a
// [*LostError] where the connection is of no use any more.
func Tell[P workerproto.Reply](ctx context.Context, c *Client, q workerproto.Request) (P, error) {
	return Send[P](ctx, c, q, nil)
}

// Send is [Tell] of a request that bytes follow, which stream writes.
func Send[P workerproto.Reply](ctx context.Context, c *Client, q workerproto.Request, stream func(io.Writer) error) (P, error) {
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
// while it sends: a daemon may have much to say of what it gets.
func (c *Client) perform(q workerproto.Request, stream func(io.Writer) error) error {
	if err := workerproto.WriteRequest(c.w, q, c.Dialect); err != nil {
		return err
	}
	if stream == nil {
		if err := c.w.Flush(); err != nil {
			return c.Lost(err)
		}
		return c.frames()
	}
	sent := make(chan error, 1)
	go func() { sent <- c.send(stream) }()
	heard := c.frames()
	var failed *sourceError
	if err := <-sent; errors.As(err, &failed) {
		return failed.err
	}
	return heard
}

// sourceError is that what was to be sent could not be read.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }

// send writes what follows a request. Who cannot go on can only hang up: the
// protocol has no word for it.
func (c *Client) send(stream func(io.Writer) error) error {
	out := &noting{w: workerproto.NewFramedWriter(c.w)}
	if err := stream(out); err != nil {
		c.conn.Close()
		if out.err == nil {
			return &sourceError{err}
		}
		return err
	}
	return workerproto.NewFramedWriter(c.w).Close()
}

// noting remembers the first error of a writer.
type noting struct {
	w   io.Writer
	err error
}

func (n *noting) Write(b []byte) (int, error) {
	done, err := n.w.Write(b)
	if n.err == nil {
		n.err = err
	}
	return done, err
}

// frames hears what the daemon says until the operation is done.
func (c *Client) frames() error {
	for {
		m, err := workerproto.ReadFrame(c.r, c.Dialect)
		if err != nil {
			return c.Lost(err)
		}
		switch m := m.(type) {
		case *workerproto.Last:
			return nil
		case *workerproto.Error:
			return m
		case *workerproto.Read:
			return c.Lost(errors.New("it asks for data in a way that no version from 1.23 on has"))
		}
		if c.Hear != nil {
			c.Hear(m)
		}
	}
}
