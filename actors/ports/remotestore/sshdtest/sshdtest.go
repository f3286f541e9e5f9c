// Package sshdtest runs OpenSSH's server for tests, on the loopback or in a network
// namespace with a link to others.
package sshdtest

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const program = "/usr/sbin/sshd" // which insists on its whole name

// Server is a machine that root can log in to. Each connection is a process of its
// own.
type Server struct {
	Host    string // an address
	Port    int
	Key     string // file of a key to log in with
	HostKey string // as the setting base64-ssh-public-host-key has it

	dir, config string
	place       *Place // nil is where everybody is
	listener    *net.TCPListener
	connections sync.WaitGroup

	mu      sync.Mutex // guards what follows
	running map[*exec.Cmd]bool
	closed  bool
}

// Start runs a server on the loopback until the test ends. Each of env, "NAME=value",
// is in the environment of what it runs. Without sshd, and for users but root, the test
// is skipped; with CI set sshd must be there.
func Start(t testing.TB, env ...string) *Server {
	t.Helper()
	return StartAt(t, nil, "127.0.0.1", env...)
}

// StartAt is [Start] at an address of a place, where all that it runs is, too.
func StartAt(t testing.TB, place *Place, host string, env ...string) *Server {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can log in to an sshd of the test")
	}
	need(t, program, "openssh-server")
	s := &Server{Host: host, dir: t.TempDir(), place: place, running: map[*exec.Cmd]bool{}}
	s.Key, s.config = filepath.Join(s.dir, "key"), filepath.Join(s.dir, "sshd_config")
	if err := s.prepare(env); err != nil {
		t.Fatal(err)
	}
	if err := place.Do(s.listen); err != nil {
		t.Fatal(err)
	}
	s.connections.Go(s.serve)
	t.Cleanup(s.close)
	return s
}

func (s *Server) listen() (err error) {
	s.listener, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.ParseIP(s.Host)})
	if err == nil {
		s.Port = s.listener.Addr().(*net.TCPAddr).Port
	}
	return err
}

func (s *Server) prepare(env []string) error {
	for _, key := range []string{s.Key, filepath.Join(s.dir, "host")} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key).CombinedOutput(); err != nil {
			return fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	host, err := os.ReadFile(filepath.Join(s.dir, "host.pub"))
	if err != nil {
		return err
	}
	s.HostKey = base64.StdEncoding.EncodeToString(host)
	config := fmt.Sprintf("HostKey %[1]s/host\nAuthorizedKeysFile %[1]s/key.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPrintMotd no\nLogLevel ERROR\n", s.dir)
	if len(env) > 0 {
		config += `SetEnv "` + strings.Join(env, `" "`) + "\"\n"
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // of its own, which services make at their start
		return err
	}
	return os.WriteFile(s.config, []byte(config), 0o600)
}

func (s *Server) serve() {
	for {
		conn, err := s.listener.AcceptTCP()
		if err != nil {
			return // it is closed
		}
		s.connections.Go(func() { s.one(conn) })
	}
}

// one serves a connection.
func (s *Server) one(conn *net.TCPConn) {
	f, err := conn.File()
	conn.Close()
	if err != nil {
		return
	}
	cmd := exec.Command(program, "-i", "-e", "-f", s.config)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, os.Stderr
	s.mu.Lock()
	if s.closed || s.place.Do(cmd.Start) != nil {
		s.mu.Unlock()
		f.Close()
		return
	}
	s.running[cmd] = true
	s.mu.Unlock()
	f.Close()
	cmd.Wait() // a connection that is cut fails
	s.mu.Lock()
	delete(s.running, cmd)
	s.mu.Unlock()
}

// Cut ends all connections, as a machine that goes away. Others may come.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for cmd := range s.running {
		cmd.Process.Kill()
	}
}

func (s *Server) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.listener.Close()
	s.Cut()
	s.connections.Wait()
}

// URL is that of a store on the machine, with all that is needed to log in, and more
// settings: "remote-program=…&compress=true", or "".
func (s *Server) URL(scheme, settings string) string {
	own := url.Values{"ssh-key": {s.Key}, "base64-ssh-public-host-key": {s.HostKey}}
	return strings.TrimSuffix(fmt.Sprintf("%s://root@%s:%d?%s&%s", scheme, s.Host, s.Port, own.Encode(), settings), "&")
}

// Options are those of ssh, for NIX_SSHOPTS: old clients take no port in a URL.
func (s *Server) Options() string {
	return fmt.Sprintf("-p %d -i %s -oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null -oLogLevel=ERROR", s.Port, s.Key)
}
