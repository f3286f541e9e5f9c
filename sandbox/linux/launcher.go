// Package linux makes sandboxes real. It alone touches the kernel for them:
// namespaces, mounts, identities, seccomp, terminals, kills.
package linux

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/sandbox/linux/early"
)

// Launcher starts builders through a small process of its own; see package
// early. When this process dies in whatever way, so do the builders.
type Launcher struct {
	socket *os.File
	cmd    *exec.Cmd
	filter []byte

	mu       sync.Mutex // guards what follows
	next     int
	children map[string]*Process
	err      error // why no more can be launched
}

// Process is a builder that runs.
type Process struct {
	PID int
	// Output reads what the builder writes. It ends when no process has the
	// other side open any more.
	Output *os.File

	launcher *Launcher
	id       string
	began    time.Time
	started  chan error // one value: whether the stage was forked
	forked   bool       // that value was nil; guarded by the launcher's mu
	exited   chan struct{}
	exit     Exit
}

// Exit is how a builder ended and what it used, with its children.
type Exit struct {
	Code, Signal int // the code is -1 where a signal ended it
	Wall         time.Duration
	User, System time.Duration
	PeakMemory   uint64 // bytes
}

// NewLauncher starts the launcher's process.
func NewLauncher() (*Launcher, error) {
	filter, err := syscallFilter()
	if err != nil {
		return nil, fmt.Errorf("start launcher: %w", err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start launcher: %w", os.NewSyscallError("socketpair", err))
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "launcher"), os.NewFile(uintptr(pair[1]), "launcher")
	defer theirs.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{early.LauncherName}
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for us to handle
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start launcher: %w", err), ours.Close())
	}
	l := &Launcher{socket: ours, cmd: cmd, filter: filter, children: map[string]*Process{}}
	go l.listen()
	return l, nil
}

// Close kills every builder and ends the launcher.
func (l *Launcher) Close() error {
	err := unix.Shutdown(int(l.socket.Fd()), unix.SHUT_RDWR)
	return errors.Join(os.NewSyscallError("shutdown", err), l.cmd.Wait(), l.socket.Close())
}

// Start runs a builder. Extra, if not nil, is its descriptor 5.
func (l *Launcher) Start(s sandbox.Spec, at Places, extra *os.File) (*Process, error) {
	output, slave, err := openTerminal(s.Identity)
	if err != nil {
		return nil, fmt.Errorf("start builder: %w", err)
	}
	defer slave.Close()
	p, err := l.launch(program(s, at, l.filter), s, slave, extra)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start builder: %w", explain(err, s.Spaces)), output.Close())
	}
	p.Output = output
	return p, nil
}

// launch runs a program in a stage, and returns when it has executed the
// builder or said why it cannot.
func (l *Launcher) launch(steps []early.Step, s sandbox.Spec, output, extra *os.File) (*Process, error) {
	text, err := memoryFile("program", early.Encode(steps))
	if err != nil {
		return nil, err
	}
	defer text.Close()
	status, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer status.Close()
	p, err := l.register()
	if err != nil {
		return nil, errors.Join(err, theirs.Close())
	}
	err = l.send(p.id, s, output, text, theirs, extra)
	if cerr := theirs.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		l.forget(p.id)
		return nil, err
	}
	if err := <-p.started; err != nil {
		return nil, err
	}
	said, err := io.ReadAll(status)
	if err != nil || len(said) == 0 {
		return p, err
	}
	<-p.exited
	return nil, stageError(string(said))
}

func (l *Launcher) register() (*Process, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	l.next++
	p := &Process{launcher: l, id: strconv.Itoa(l.next), began: time.Now(), started: make(chan error, 1), exited: make(chan struct{})}
	l.children[p.id] = p
	return p, nil
}

func (l *Launcher) forget(id string) *Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.children[id]
	delete(l.children, id)
	return p
}

func (l *Launcher) send(id string, s sandbox.Spec, files ...*os.File) error {
	uid, gid := s.Identity.OutsideUID, s.Identity.OutsideGID
	if !s.Spaces.User {
		uid, gid = -1, -1
	}
	request := early.Encode([]early.Step{{Op: "launch", Args: []string{id, early.Itoa(cloneFlags(s.Spaces)),
		early.Itoa(s.Identity.UID), early.Itoa(uid), early.Itoa(s.Identity.GID), early.Itoa(gid)}}})
	var fds []int
	for _, f := range files {
		if f != nil {
			fds = append(fds, int(f.Fd()))
		}
	}
	return os.NewSyscallError("sendmsg", unix.Sendmsg(int(l.socket.Fd()), request, unix.UnixRights(fds...), nil, 0))
}

func cloneFlags(n sandbox.Namespaces) (flags int) {
	for _, f := range []struct {
		want bool
		flag int
	}{{n.PID, unix.CLONE_NEWPID}, {n.Mount, unix.CLONE_NEWNS}, {n.Net, unix.CLONE_NEWNET}, {n.IPC, unix.CLONE_NEWIPC}, {n.UTS, unix.CLONE_NEWUTS}} {
		if f.want {
			flags |= f.flag
		}
	}
	return flags
}

// listen takes the launcher's answers until it ends.
func (l *Launcher) listen() {
	packet := make([]byte, early.MaxPacket)
	for {
		n, err := l.socket.Read(packet)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			l.lost()
			return
		}
		l.answer(early.Decode(packet[:n]))
	}
}

func (l *Launcher) answer(s early.Step) {
	id := s.Args[0]
	switch s.Op {
	case "started":
		l.mu.Lock()
		p := l.children[id]
		p.forked = true
		l.mu.Unlock()
		p.PID = number(s.Args[1])
		p.started <- nil
	case "failed":
		l.forget(id).started <- stageError(s.Args[1])
	case "exited":
		l.forget(id).ended(s.Args[1:])
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("launcher answers " + s) // it is this very program
	}
	return n
}

func (p *Process) ended(a []string) {
	status := syscall.WaitStatus(number(a[0]))
	p.exit = Exit{Code: status.ExitStatus(), Wall: time.Since(p.began),
		User: time.Duration(number(a[1])) * time.Microsecond, System: time.Duration(number(a[2])) * time.Microsecond,
		PeakMemory: uint64(number(a[3])) << 10}
	if status.Signaled() {
		p.exit.Signal = int(status.Signal())
	}
	close(p.exited)
}

// errLost says that the launcher's process is gone, and the builders with it.
var errLost = errors.New("the launcher has died")

func (l *Launcher) lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errLost
	for _, p := range l.children {
		if !p.forked {
			p.started <- errLost
			continue
		}
		p.exit = Exit{Code: -1, Signal: int(syscall.SIGKILL), Wall: time.Since(p.began)}
		close(p.exited)
	}
	l.children = map[string]*Process{}
}

// Wait waits for the builder's own end; others may still have its output open.
func (p *Process) Wait() Exit {
	<-p.exited
	return p.exit
}

// Kill kills the builder and its process group; in a pid namespace that is
// everything it has started. One that has ended already is well.
func (p *Process) Kill() error {
	request := early.Encode([]early.Step{{Op: "kill", Args: []string{p.id}}})
	return os.NewSyscallError("sendmsg", unix.Sendmsg(int(p.launcher.socket.Fd()), request, nil, nil, 0))
}

// memoryFile is a file without a name that holds b.
func memoryFile(name string, b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(b); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
