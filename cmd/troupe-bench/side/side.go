// Package side has the daemons that are measured. One that is set up here has a
// store, a state directory and build users of its own, and shares nothing with
// another daemon on the machine; one that runs already is used as it is.
package side

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"troupe/cmd/troupe-bench/meter"
	"troupe/cmd/troupe/remote"
	"troupe/storage/storepath"
)

// Spec says how a daemon is to be had.
type Spec struct {
	Name    string
	Command []string // starts it; or
	Socket  string   // it listens here already,
	Store   string   // with its store there
	Root    string   // the root directory of a Command, "/" or that of another system
}

// Side is a daemon.
type Side struct {
	Spec
	Dir       storepath.Dir
	Socket    string // as this process sees it
	Processes meter.Processes
	files     string // below which all of its files are; "" where it runs already
	client    string // what clients need to start
	conf      Conf
	first     int // uid of its first build user
	group     *meter.Group
	cmd       *exec.Cmd
	wrapped   bool // cmd is a program that has started the daemon
	ended     chan struct{}
}

// Open sets a daemon up with its files below work, and starts it.
func (s Spec) Open(ctx context.Context, work string, uid int, conf Conf) (_ *Side, err error) {
	o := &Side{Spec: s, client: filepath.Join(work, "client"), conf: conf, first: uid}
	for _, d := range []string{o.client, filepath.Join(work, "nix")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	if s.Socket != "" {
		return o, o.join()
	}
	o.files = filepath.Join(work, s.Name)
	o.Dir, o.Socket = storepath.Dir(filepath.Join(work, "nix/store")), o.files+"/nix/socket"
	if err := layOut(o.files, uid, conf); err != nil {
		return nil, err
	}
	if err := o.Start(ctx, work); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// join finds out about a daemon that runs already.
func (s *Side) join() error {
	s.Socket, s.Dir = s.Spec.Socket, storepath.Dir(s.Spec.Store)
	conn, err := net.Dial("unix", s.Socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, failed); err == nil {
		s.Processes = meter.Tree{Root: int(peer.Pid)}
	}
	return err
}

// Start starts the daemon, and returns when it takes clients. Before is what the
// command is started by, strace for instance.
func (s *Side) Start(ctx context.Context, work string, before ...string) (err error) {
	s.group, err = meter.NewGroup(fmt.Sprintf("troupe-bench-%d-%s", os.Getpid(), s.Name))
	if err != nil {
		return err
	}
	s.Processes = s.group
	dir, err := s.group.Open()
	if err != nil {
		return err
	}
	defer dir.Close()
	log, err := os.OpenFile(s.files+"/log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	root := s.Root
	if root == "" {
		root = "/"
	}
	args := append([]string{withinVerb, work, s.files, root}, append(before, s.Command...)...)
	s.cmd = exec.Command("/proc/self/exe", args...)
	s.cmd.Args[0] = os.Args[0]
	s.cmd.Env = daemonEnv(work)
	s.cmd.Dir = "/"
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.wrapped = len(before) > 0
	s.ended = make(chan struct{})
	go func() { s.cmd.Wait(); close(s.ended) }()
	return s.await(ctx)
}

// StateDir is the state directory of a daemon that was set up here, as this process
// sees it.
func (s *Side) StateDir() string { return filepath.Join(s.files, "nix/var/nix") }

func daemonEnv(work string) []string {
	nix := work + "/nix"
	return []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + nix + "/home", "TMPDIR=" + nix + "/tmp",
		"NIX_STORE_DIR=" + nix + "/store", "NIX_STATE_DIR=" + nix + "/var/nix", "NIX_LOCALSTATE_DIR=" + nix + "/var",
		"NIX_LOG_DIR=" + nix + "/var/log/nix", "NIX_CONF_DIR=" + nix + "/etc", "NIX_DAEMON_SOCKET_PATH=" + nix + "/socket"}
}

// await returns when the daemon has greeted a client.
func (s *Side) await(ctx context.Context) error {
	for {
		c, err := remote.Dial(ctx, s.Socket, s.Dir)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.ended:
			return fmt.Errorf("start the daemon '%s': it ended: %s", s.Name, s.said())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// said is the end of what the daemon has printed.
func (s *Side) said() string {
	text, err := os.ReadFile(s.files + "/log")
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// Stop ends a daemon that was started here, and all of its processes.
func (s *Side) Stop() error {
	if s.group == nil {
		return nil
	}
	if s.cmd != nil && s.cmd.Process != nil {
		if err := unix.Kill(s.daemon(), unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		select {
		case <-s.ended:
		case <-time.After(15 * time.Second):
		}
	}
	err := s.group.Close()
	if s.ended != nil {
		<-s.ended
	}
	s.group, s.cmd = nil, nil
	return err
}

// daemon is the process id of the daemon itself, which another program may have
// started.
func (s *Side) daemon() int {
	pid := s.cmd.Process.Pid
	if !s.wrapped {
		return pid
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err == nil {
		if child, err := strconv.Atoi(strings.TrimSpace(string(children))); err == nil {
			return child
		}
	}
	return pid
}

// Close stops the daemon and removes its files.
func (s *Side) Close() error {
	if s.files == "" {
		return nil
	}
	s.hide()
	return errors.Join(s.Stop(), os.RemoveAll(s.files))
}
