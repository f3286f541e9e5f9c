package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"troupe/actors/ports/remotestore"
)

// socketPath is where the daemon listens.
func (c *daemonCmd) socketPath(s *session) string {
	if c.Socket != "" {
		return c.Socket
	}
	return daemonSocket(s.location, os.LookupEnv)
}

// daemonSocket is where clients of Nix look for it. The variable is about the machine's
// store, not about one that lies in a directory.
func daemonSocket(l location, env func(string) (string, bool)) string {
	own := filepath.Join(l.StateDir, "daemon-socket", "socket")
	if l.Root != "" {
		return own
	}
	return setOr(env, "NIX_DAEMON_SOCKET_PATH", own)
}

// listen takes the sockets that systemd gives, or makes one.
func (c *daemonCmd) listen(s *session) ([]net.Listener, error) {
	given, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take sockets from systemd: %w", err)
	}
	if len(given) > 0 {
		return given, nil
	}
	l, err := listenAt(c.socketPath(s))
	if err != nil {
		return nil, err
	}
	return []net.Listener{l}, nil
}

// listenAt makes a socket that everybody may connect to: who may do what is
// decided by who it is. It gets its name only when clients can come, and takes the
// name of one that nobody listens at, but of nothing else.
func listenAt(path string) (*namedListener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("listen at '%s': %w", path, err)
	}
	if answers(path) {
		return nil, hinted(fmt.Errorf("listen at '%s': a daemon listens there already", path), "troupe daemon --socket FILE listens elsewhere")
	}
	if st, err := os.Lstat(path); err == nil && st.Mode()&(os.ModeSocket|os.ModeSymlink) == 0 {
		return nil, fmt.Errorf("listen at '%s': something that is no socket lies there", path)
	}
	l, err := listenHidden(path, filepath.Join(dir, fmt.Sprintf(".%d", os.Getpid())))
	if errno := unix.Errno(0); errors.As(err, &errno) { // the other name is nobody's concern
		err = errno
	}
	if err != nil {
		return nil, fmt.Errorf("listen at '%s': %w", path, err)
	}
	return l, nil
}

// listenHidden makes the socket under another name first.
func listenHidden(path, hidden string) (*namedListener, error) {
	if err := os.Remove(hidden); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var l *net.UnixListener
	err := remotestore.AtShortName(hidden, func(name string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(hidden, 0o666)
	if err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(hidden))
	}
	return &namedListener{UnixListener: l, path: path}, nil
}

// answers reports whether somebody listens at a socket.
func answers(path string) bool {
	return remotestore.AtShortName(path, func(name string) error {
		conn, err := net.Dial("unix", name)
		if err == nil {
			conn.Close()
		}
		return err
	}) == nil
}

// namedListener removes its name when it is closed, if nobody did before.
type namedListener struct {
	*net.UnixListener
	path     string
	nameless sync.Once
}

func (l *namedListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// unname removes the name, once: later it may be somebody else's.
func (l *namedListener) unname() (err error) {
	l.nameless.Do(func() { err = os.Remove(l.path) })
	return err
}

func (l *namedListener) Close() error { return errors.Join(l.unname(), l.UnixListener.Close()) }
