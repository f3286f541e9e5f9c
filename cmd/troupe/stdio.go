package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"troupe/actors/ports/sessions"
)

// stdio serves stdin and stdout: as a go-between where a daemon runs, else by
// itself.
func (c *daemonCmd) stdio(s *session) error {
	pipe, err := newStdioConn()
	if err != nil {
		return err
	}
	if conn, err := net.Dial("unix", c.socketPath(s)); err == nil {
		return relay(s.ctx, pipe, conn.(*net.UnixConn))
	}
	return c.service(s, func(d *service) error {
		served := make(chan struct{})
		go func() {
			d.tree.Sessions.Serve(pipe, sessions.Lookup(os.Getuid(), os.Getgid(), os.Getppid()))
			close(served)
		}()
		select {
		case <-served:
		case <-s.ctx.Done():
			d.tree.Sessions.Drain(0)
		}
		return awaitRest(d.tree)
	})
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
