package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newService is a site of our own user, with expressions to build.
func newService(t *testing.T, conf string) *site {
	t.Helper()
	needNix(t)
	needBuilds(t)
	s := newSite(t, os.Geteuid(), conf)
	s.addExpressions()
	return s
}

// build begins a build through the daemon; what is said of it is in lines.
func (s *site) build(attr string, args ...string) (cmd *exec.Cmd, said *lines, done chan error) {
	s.t.Helper()
	said = &lines{}
	cmd = s.command(s.env("client", "NIX_REMOTE=unix://"+s.at("socket")), "nix-build", append([]string{"graph.nix", "-A", attr, "--no-out-link"}, args...)...)
	cmd.Stdout, cmd.Stderr = said, said
	s.must(cmd.Start())
	done = make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	return cmd, said, done
}

// TestTerm: what is being built is finished, new work is refused with a reason,
// and the service ends well.
func TestTerm(t *testing.T) {
	s := newService(t, "drain-timeout = 60")
	d := s.daemon()
	_, said, done := s.build("gated")
	said.await(t, "begun")
	s.must(d.cmd.Process.Signal(unix.SIGTERM))
	d.hears("STOPPING=1")
	if err := <-done; err != nil {
		t.Errorf("the build that ran: %v\n%s", err, said)
	}
	if code := d.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if exists(s.at("socket")) {
		t.Error("the socket is left")
	}
	d.lookForRest()
}

// TestTermRunsOut: what takes longer than it may is cancelled.
func TestTermRunsOut(t *testing.T) {
	s := newService(t, "drain-timeout = 1")
	d := s.daemon()
	_, said, done := s.build("endless")
	said.await(t, "begun")
	d.stop()
	if err := <-done; err == nil {
		t.Errorf("the build is done:\n%s", said)
	}
}

// TestClientIsInterrupted: Ctrl-C at the client ends its builder, and leaves
// nothing.
func TestClientIsInterrupted(t *testing.T) {
	s := newService(t, "")
	d := s.daemon()
	cmd, said, done := s.build("endless")
	said.await(t, "begun")
	s.builders()
	s.must(cmd.Process.Signal(unix.SIGINT))
	if err := <-done; err == nil {
		t.Errorf("the client ends well:\n%s", said)
	}
	s.lookForRest()
	s.want("nix-build graph.nix -A leaf --no-out-link")
	d.stop()
}

// TestTwoWantTheSame: two stock clients that want one build have it, and its log
// from the beginning; it is built once.
func TestTwoWantTheSame(t *testing.T) {
	s := newService(t, "")
	d := s.daemon()
	_, one, first := s.build("gated")
	one.await(t, "begun")
	_, two, second := s.build("gated")
	for _, done := range []chan error{first, second} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, said := range []*lines{one, two} {
		if strings.Count(said.String(), "begun") != 1 || strings.Count(said.String(), "ends") != 1 {
			t.Errorf("a client hears\n%s", said)
		}
	}
	d.stop()
}

// TestCollectWhileBuilding: a collection neither waits for builds nor takes what
// they need.
func TestCollectWhileBuilding(t *testing.T) {
	s := newService(t, "")
	d := s.daemon()
	s.want("nix-build graph.nix -A many --no-out-link")
	dead := strings.Fields(s.want("nix-build graph.nix -A beside --no-out-link"))[0]
	_, said, done := s.build("endless", "--max-silent-time", "5")
	said.await(t, "begun")
	s.want("nix-collect-garbage")
	if exists(dead) {
		t.Error("what is dead stays")
	}
	if len(s.processes()) == 0 {
		t.Errorf("the build is over:\n%s", said)
	}
	s.must(d.cmd.Process.Signal(unix.SIGTERM))
	<-done
	d.ends()
}

// TestReload: settings are read again, without a client noticing; what is wrong
// in them leaves the old ones.
func TestReload(t *testing.T) {
	s := newService(t, "allowed-users = nobody-at-all\ntrusted-users =")
	conf := s.read("daemon/nix.conf")
	d := s.daemon()
	if o := s.say(s.client("nix-store --verify")); o.code == 0 {
		t.Errorf("who may not connect is served: %s", o.stderr)
	}
	reload := func(conf string) {
		s.write("daemon/nix.conf", conf)
		s.must(d.cmd.Process.Signal(unix.SIGHUP))
		d.hears("RELOADING=1")
		if !strings.HasPrefix(d.hears("MONOTONIC_USEC="), "MONOTONIC_USEC=") {
			t.Error("it does not say since when")
		}
		d.hears("READY=1")
	}
	reload(strings.ReplaceAll(conf, "nobody-at-all", "*"))
	s.want("nix-store --verify")
	_, said, done := s.build("gated")
	said.await(t, "begun")
	reload("max-jobs = many\n")
	if !strings.Contains(d.said(), "reload settings; the old ones stay") {
		t.Errorf("it does not complain:\n%s", d.said())
	}
	if err := <-done; err != nil {
		t.Errorf("the build meanwhile: %v\n%s", err, said)
	}
	s.want("nix-store --verify")
	d.stop()
}

// TestWatchdog: the service manager hears from it as often as it wants to.
func TestWatchdog(t *testing.T) {
	s := newService(t, "")
	d := s.start(s.env("daemon", "WATCHDOG_USEC=50000"), "troupe", "daemon", "--socket", s.at("socket"))
	d.hears("READY=1")
	d.hears("WATCHDOG=1")
	d.hears("WATCHDOG=1")
	d.stop()
	d.hearsAtLast("STOPPING=1")
}

// hearsAtLast looks for a notice of a daemon that has ended.
func (r *running) hearsAtLast(want string) {
	r.t.Helper()
	soon(r.t, "it did not say "+want, func() string {
		select {
		case n := <-r.notices:
			if n == want {
				return ""
			}
		default:
		}
		return "."
	})
}

// TestSocketActivation: a socket that the service manager has made is used, and
// stays.
func TestSocketActivation(t *testing.T) {
	s := newService(t, "")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.at("socket"), Net: "unix"})
	s.must(err)
	defer l.Close()
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	s.must(err)
	defer f.Close()
	// The variables name the process that is meant, which is ours after exec.
	script := `export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" daemon`
	d := &running{site: s, done: make(chan struct{}), notices: make(chan string, 100)}
	d.log, err = os.Create(s.at("activated.log"))
	s.must(err)
	defer d.log.Close()
	d.cmd = s.command(s.env("daemon"), "sh", "-c", script, s.at("bin/troupe"))
	d.cmd.ExtraFiles, d.cmd.Stdout, d.cmd.Stderr = []*os.File{f}, d.log, d.log
	s.must(d.cmd.Start())
	go func() {
		d.cmd.Wait() // the exit code says it
		close(d.done)
	}()
	s.want("nix-build graph.nix -A leaf --no-out-link") // it waits in the socket's queue until the service is there
	d.stop()
	if !exists(s.at("socket")) {
		t.Error("the service manager's socket is gone")
	}
}

// TestSecondDaemon: a socket file that nobody listens at is taken; of a store
// that is held it is said by whom.
func TestSecondDaemon(t *testing.T) {
	s := newService(t, "")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.at("socket"), Net: "unix"})
	s.must(err)
	stale.SetUnlinkOnClose(false)
	s.must(stale.Close())
	d := s.daemon()
	if st, err := os.Stat(s.at("socket")); err != nil || st.Mode().Perm() != 0o666 {
		t.Errorf("the socket: %v, %v", st, err)
	}
	o := s.say(s.command(s.env("daemon"), s.at("bin/troupe"), "daemon", "--socket", s.at("other"), "--no-wait"))
	if o.code == 0 || !strings.Contains(o.stderr, strconv.Itoa(d.cmd.Process.Pid)) {
		t.Errorf("at another socket: %d %s", o.code, o.stderr)
	}
	if exists(s.at("other")) {
		t.Error("the socket of the daemon that was none is left")
	}
	s.want("nix-build graph.nix -A leaf --no-out-link")
	d.stop()
}

// TestStdio serves one client without a daemon, and through one.
func TestStdio(t *testing.T) {
	s := newService(t, "")
	// A stock client speaks to what a socket leads to.
	bridge := func(script string) string {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.at("bridge"), Net: "unix"})
		s.must(err)
		defer l.Close()
		ended := make(chan error, 1)
		go func() {
			conn, err := l.AcceptUnix()
			if err != nil {
				ended <- err
				return
			}
			f, err := conn.File()
			conn.Close()
			if err != nil {
				ended <- err
				return
			}
			cmd := s.command(s.env("daemon"), s.at("bin/troupe"), "daemon", "--stdio")
			cmd.Stdin, cmd.Stdout = f, f
			var said lines
			cmd.Stderr = &said
			err = cmd.Run()
			f.Close()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, said.String())
			}
			ended <- err
		}()
		o := s.say(s.command(s.env("client", "NIX_REMOTE=unix://"+s.at("bridge")), "sh", "-c", script))
		if err := <-ended; err != nil || o.code != 0 {
			t.Errorf("%s: %v, exit code %d\n%s", script, err, o.code, o.stderr)
		}
		return strings.TrimSpace(o.stdout)
	}
	alone := bridge("nix-build graph.nix -A leaf --no-out-link")
	d := s.daemon()
	if relayed := bridge("nix-build graph.nix -A leaf --no-out-link"); relayed != alone || alone == "" {
		t.Errorf("alone %q, through a daemon %q", alone, relayed)
	}
	if o := s.say(s.command(s.env("daemon"), s.at("bin/troupe"), "daemon", "--stdio", "--force-untrusted")); o.code == 0 || !strings.Contains(o.stderr, "decides by itself whom it trusts") {
		t.Errorf("through a daemon, and untrusted: exit code %d, %s", o.code, o.stderr)
	}
	d.stop()
}

// TestStdioIsTerminated: a service on pipes ends when it is told to, though its
// client says nothing and stays.
func TestStdioIsTerminated(t *testing.T) {
	s := newService(t, "")
	cmd := s.command(s.env("daemon"), s.at("bin/troupe"), "daemon", "--stdio")
	in, err := cmd.StdinPipe()
	s.must(err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	s.must(err)
	s.must(cmd.Start())
	d := &running{site: s, cmd: cmd, done: make(chan struct{})}
	d.log, err = os.Create(s.at("stdio.log"))
	s.must(err)
	defer d.log.Close()
	_, err = in.Write([]byte("cxin\x00\x00\x00\x00\x22\x01\x00\x00\x00\x00\x00\x00"))
	s.must(err)
	if n, err := out.Read(make([]byte, 16)); n == 0 {
		t.Fatal(err)
	}
	s.must(cmd.Process.Signal(unix.SIGTERM))
	go func() {
		cmd.Wait() // the exit code says it
		close(d.done)
	}()
	d.ends()
	s.lookForRest()
}

// TestDaemonIsKilled: with -9, in the middle of a build, it leaves no process,
// and the next one has what was acknowledged and cleans up.
func TestDaemonIsKilled(t *testing.T) {
	s := newService(t, "")
	d := s.daemon()
	leaf := s.want("nix-build graph.nix -A leaf --no-out-link")
	_, said, done := s.build("endless")
	said.await(t, "begun")
	s.must(d.cmd.Process.Kill())
	d.ends()
	if err := <-done; err == nil {
		t.Error("the client does not notice")
	}
	soon(t, "processes are left: ", func() string { return strings.Join(s.processes(), ", ") })
	next := s.daemon()
	s.want("nix-store --verify --check-contents")
	if got := s.want("nix-store -q --references " + leaf + "; echo " + leaf); !strings.HasSuffix(got, leaf) {
		t.Error(got)
	}
	s.want("nix-build graph.nix -A top --no-out-link")
	next.stop()
}

// TestIdleConnections: what a thousand clients that say nothing cost the service,
// in memory that nobody else has.
func TestIdleConnections(t *testing.T) {
	s := newService(t, "")
	d := s.daemon()
	s.want("nix-store --verify")
	const clients = 1000
	before := d.pss()
	for range clients {
		conn, err := net.DialTimeout("unix", s.at("socket"), longEnough)
		s.must(err)
		defer conn.Close()
		s.must(conn.SetDeadline(time.Now().Add(longEnough)))
		_, err = conn.Write([]byte("cxin\x00\x00\x00\x00\x22\x01\x00\x00\x00\x00\x00\x00" + strings.Repeat("\x00", 16)))
		s.must(err)
		if _, err := conn.Read(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
	}
	s.want("nix-store --verify")
	each := (d.pss() - before) * 1024 / clients
	t.Logf("PSS of the service %d KiB, %d bytes more for each of %d connections", before, each, clients)
	if each > 40<<10 {
		t.Errorf("%d bytes a connection", each)
	}
	d.stop()
}

// pss is the service's proportional set size in KiB.
func (r *running) pss() int {
	r.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", r.cmd.Process.Pid))
	r.must(err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			r.must(err)
			return n
		}
	}
	r.t.Fatal("no PSS")
	return 0
}

// TestUserWithoutSandbox: a builder under a user of its own reaches its build
// directory where there is no sandbox to put it into.
func TestUserWithoutSandbox(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("build users need root")
	}
	s := newService(t, "sandbox = false")
	d := s.daemon()
	cmd, said, done := s.build("endless")
	said.await(t, "begun")
	s.must(cmd.Process.Signal(unix.SIGINT))
	<-done
	d.stop()
}
