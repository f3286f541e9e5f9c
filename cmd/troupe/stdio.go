package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"troupe/actors/ports/sessions"
	"troupe/storage/validity"
)

// stdio serves stdin and stdout: as a go-between where somebody serves the store,
// else by itself. Others who come then join it: over ssh each connection of a client
// is a process of its own.
func (c *daemonCmd) stdio(s *session) error {
	pipe, err := newStdioConn()
	if err != nil {
		return err
	}
	for told := false; ; {
		if conn, err := net.Dial("unix", c.socketPath(s)); err == nil {
			if c.ForceUntrusted {
				return errors.Join(errors.New("serve stdin: a daemon has the store, which decides by itself whom it trusts"), conn.Close())
			}
			return relay(s.ctx, pipe, conn.(*net.UnixConn))
		}
		st, err := openStoreNow(s, readWrite)
		var held *validity.HeldError
		switch {
		case err == nil:
			return c.holding(s, st, func(d *service) error { return d.only(pipe, !c.ForceTrusted) })
		case !errors.As(err, &held) || c.NoWait:
			return err
		case !told:
			fmt.Fprintf(s.stderr, "waiting: %v\n", err)
			told = true
		}
		select {
		case <-s.ctx.Done():
			return context.Canceled
		case <-time.After(lookAgain):
		}
	}
}

// only serves one client, and those who join it if they may: not where the command
// line trusts whoever comes.
func (d *service) only(pipe *stdioConn, mayJoin bool) error {
	guests := &guests{d: d}
	if mayJoin {
		guests = d.invite(nil)
	}
	served := make(chan struct{})
	go func() {
		d.tree.Sessions.Serve(pipe, sessions.Lookup(os.Getuid(), os.Getgid(), os.Getppid()))
		close(served)
	}()
	select {
	case <-served:
	case <-d.s.ctx.Done():
	}
	err := guests.leave()
	d.tree.Sessions.Drain(0)
	return errors.Join(err, awaitRest(d.tree))
}

// relay passes bytes on in both directions until either side ends, or ctx does.
func relay(ctx context.Context, client io.ReadWriter, daemon *net.UnixConn) error {
	defer context.AfterFunc(ctx, func() { daemon.Close() })()
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(client, daemon)
		ended <- err
	}()
	go func() {
		io.Copy(daemon, client) // what the daemon says of it is passed on
		daemon.CloseWrite()
	}()
	err := <-ended
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, daemon.Close())
}

// stdioConn is stdin and stdout as one connection.
type stdioConn struct{ in, out *os.File }

// newStdioConn makes one that can be closed while it is read.
func newStdioConn() (*stdioConn, error) {
	var st unix.Stat_t
	if err := unix.Fstat(0, &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFIFO || kind == unix.S_IFSOCK {
		if err := unix.SetNonblock(0, true); err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
	}
	// They may be the same socket, which does not block now.
	return &stdioConn{os.NewFile(0, "stdin"), os.NewFile(1, "stdout")}, nil
}

func (c *stdioConn) Read(b []byte) (int, error)  { return c.in.Read(b) }
func (c *stdioConn) Write(b []byte) (int, error) { return c.out.Write(b) }
func (c *stdioConn) Close() error                { return errors.Join(c.in.Close(), c.out.Close()) }
func (*stdioConn) LocalAddr() net.Addr           { return &net.UnixAddr{Name: "stdio", Net: "unix"} }
func (*stdioConn) RemoteAddr() net.Addr          { return &net.UnixAddr{Name: "stdio", Net: "unix"} }

// SetDeadline has no effect on files and terminals, where no stranger is at the
// other end.
func (c *stdioConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *stdioConn) SetReadDeadline(t time.Time) error  { return ifPossible(c.in.SetReadDeadline(t)) }
func (c *stdioConn) SetWriteDeadline(t time.Time) error { return ifPossible(c.out.SetWriteDeadline(t)) }

func ifPossible(err error) error {
	if errors.Is(err, os.ErrNoDeadline) {
		return nil
	}
	return err
}
