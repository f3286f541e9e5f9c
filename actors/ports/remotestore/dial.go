package remotestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// DialSocket connects to the daemon at a socket, for paths of dir, if it speaks the
// oldest version or a later one. The error is [ErrNobody], a [*RefusedError], a
// [*LostError] or that of the socket.
func DialSocket(ctx context.Context, socket string, dir storepath.Dir, oldest workerproto.Version) (*Conn, error) {
	store := fmt.Sprintf("the daemon at '%s'", socket)
	conn, err := connect(ctx, socket)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTDIR) {
		return nil, ErrNobody
	}
	if ctx.Err() != nil && err != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", store, err)
	}
	c := newConn(store, socketWire{conn.(*net.UnixConn)})
	if err := c.interruptible(ctx, func() error { return c.greet(dir, oldest, workerproto.Newest) }); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// defaultSocket is where Nix looks for the daemon of this machine.
func defaultSocket() string {
	return cmp.Or(os.Getenv("NIX_DAEMON_SOCKET_PATH"), filepath.Join(cmp.Or(os.Getenv("NIX_STATE_DIR"), "/nix/var/nix"), "daemon-socket", "socket"))
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

// socketWire is a socket of this machine.
type socketWire struct{ *net.UnixConn }

func (s socketWire) idle() bool                 { return nothingCame(s.UnixConn) }
func (s socketWire) epitaph(reason error) error { return reason }

func (s socketWire) Close() error {
	err := s.UnixConn.Close()
	if errors.Is(err, net.ErrClosed) { // the context did
		return nil
	}
	return err
}
