package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// crowd counts who is there.
type crowd struct {
	mu    sync.Mutex // guards what follows
	n     int
	empty chan struct{} // closed when the last leaves; nil where nobody waits
}

// enter counts one more, until leave.
func (c *crowd) enter() (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.n--; c.n == 0 && c.empty != nil {
			close(c.empty)
			c.empty = nil
		}
	}
}

// gone is how many are there, and what is closed when nobody is.
func (c *crowd) gone() (n int, empty <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.empty == nil {
		c.empty = make(chan struct{})
	}
	empty = c.empty
	if c.n == 0 {
		close(c.empty)
		c.empty = nil
	}
	return c.n, empty
}

// guests are the clients of a command that has the store for a while: they join
// it at the socket of the store's daemon, rather than wait.
type guests struct {
	d        *service
	l        *namedListener
	stopped  chan struct{} // closed when the accepting goroutine is done
	farewell func(n int)   // told once how many are still there
}

// invite lets clients in from now on. Where there can be no socket nobody comes.
func (d *service) invite(farewell func(n int)) *guests {
	l, err := listenAt(daemonSocket(d.s.location, os.LookupEnv))
	if err != nil {
		d.log.Warn().Err(err).Msg("no other command can join this one")
		return &guests{d: d}
	}
	g := &guests{d: d, l: l, stopped: make(chan struct{}), farewell: farewell}
	go func() {
		defer close(g.stopped)
		d.accept(l)
	}()
	return g
}

// leave returns when the last guest is gone, and nobody can come any more. A
// command that is interrupted turns them out.
//
// First the name of the socket goes. Who connected before is served to the end;
// who looks for the name later finds none, and waits for the store itself.
func (g *guests) leave() error {
	if g.l == nil {
		return nil
	}
	g.wait()
	err := g.l.unname()
	err = errors.Join(err, g.l.SetDeadline(time.Unix(1, 0)))
	<-g.stopped
	if g.d.s.ctx.Err() == nil {
		err = errors.Join(err, g.takeRest())
		g.wait()
	}
	err = errors.Join(err, g.l.Close())
	g.d.tree.Sessions.Drain(0)
	return err
}

// wait returns when no guest is there, or at an interrupt.
func (g *guests) wait() {
	n, empty := g.d.clients.gone()
	if n > 0 && g.farewell != nil && g.d.s.ctx.Err() == nil {
		g.farewell(n)
		g.farewell = nil
	}
	select {
	case <-empty:
	case <-g.d.s.ctx.Done():
	}
}

// takeRest lets in those who have connected already.
func (g *guests) takeRest() error {
	for {
		conn, err := acceptNow(g.l.UnixListener)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept client: %w", err)
		}
		g.d.welcome(conn)
	}
}

// acceptNow takes a client that is there already; where there is none the error
// is EAGAIN.
func acceptNow(l *net.UnixListener) (net.Conn, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var failed error
	if err := raw.Control(func(at uintptr) {
		fd, _, failed = unix.Accept4(int(at), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	}); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	file := os.NewFile(uintptr(fd), "client")
	defer file.Close()
	return net.FileConn(file)
}
