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
	socket  *os.File
	cmd     *exec.Cmd
	cgroups *cgroups       // nil without
	heard   chan struct{}  // closed when the launcher has nothing more to say
	ending  sync.WaitGroup // builders whose cgroups are being removed

	mu       sync.Mutex // guards what follows
	next     int
	children map[string]*Process
	swept    map[int]bool // users of whom nothing was found since a builder of theirs was started
	err      error        // why no more can be launched
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
	theirs := os.NewFile(uintptr(pair[1]), "launcher")
	defer theirs.Close()
	if err := unix.SetNonblock(pair[0], true); err != nil { // so that no thread waits for answers
		return nil, errors.Join(fmt.Errorf("start launcher: %w", err), unix.Close(pair[0]))
	}
	ours := os.NewFile(uintptr(pair[0]), "launcher")
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{early.LauncherName}
	// Its threads wait in system calls. With one processor the runtime of Go sees
	// at once that nothing runs, and does not look every 20 µs for 10 ms.
	cmd.Env = []string{"GOMAXPROCS=1"}
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for us to handle
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start launcher: %w", err), ours.Close())
	}
	l := &Launcher{socket: ours, cmd: cmd, heard: make(chan struct{}), children: map[string]*Process{}, swept: map[int]bool{}}
	go l.listen()
	if err := l.write(early.Encode([]early.Step{{Op: "filter", Args: []string{string(filter)}}})); err != nil {
		return nil, errors.Join(fmt.Errorf("start launcher: %w", err), l.Close())
	}
	return l, nil
}

// Close kills every builder and ends the launcher.
func (l *Launcher) Close() error {
	err := control(l.socket, func(fd int) error { return os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_RDWR)) })
	err = errors.Join(err, l.cmd.Wait())
	<-l.heard
	l.ending.Wait()
	return errors.Join(err, l.cgroups.close(), l.socket.Close())
}

// Start runs a builder. Extra, if not nil, is its descriptor 5.
func (l *Launcher) Start(s sandbox.Spec, at Places, extra *os.File) (*Process, error) {
	l.noteSwept(s.Identity.OutsideUID, false)
	output, slave, err := openTerminal(s.Identity)
	if err != nil {
		return nil, fmt.Errorf("start builder: %w", err)
	}
	defer slave.Close()
	p, err := l.launch(program(s, at), s, l.cgroups, slave, extra)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start builder: %w", explain(err, s.Spaces)), output.Close())
	}
	p.Output = output
	return p, nil
}

// launch runs a program in a stage, and returns when it has executed the
// builder or said why it cannot. It gets one of the cgroups unless they are nil.
func (l *Launcher) launch(steps []early.Step, s sandbox.Spec, in *cgroups, output, extra *os.File) (*Process, error) {
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
	own, err := l.group(p, in)
	if err == nil {
		err = l.send(p.id, own, s, text, theirs, output, extra)
	}
	if cerr := theirs.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		l.forget(p.id)
	} else {
		err = <-p.started
	}
	if err != nil {
		own.discard()
		return nil, err
	}
	said, err := io.ReadAll(status)
	errno, step, ok := early.Failure(said)
	if err != nil || !ok {
		return p, err
	}
	<-p.exited
	return nil, stageError(early.Describe(steps[step]), errno)
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

// group gives a process that is about to be started one of the cgroups.
func (l *Launcher) group(p *Process, in *cgroups) (*cgroup, error) {
	own, err := in.add(p.id)
	l.mu.Lock()
	defer l.mu.Unlock()
	p.cgroup = own
	return own, err
}

func (l *Launcher) forget(id string) *Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.children[id]
	delete(l.children, id)
	return p
}

// send asks for a stage, in a cgroup unless that is nil; files is what it gets.
func (l *Launcher) send(id string, in *cgroup, s sandbox.Spec, files ...*os.File) error {
	uid, gid := s.Identity.OutsideUID, s.Identity.OutsideGID
	if !s.Spaces.User {
		uid, gid = -1, -1
	}
	cgroup := early.NoCgroup
	if in != nil {
		dir, err := os.Open(in.path)
		if err != nil {
			return err
		}
		defer dir.Close()
		cgroup, files = early.CgroupWanted, append([]*os.File{dir}, files...)
		if in.of.needed {
			cgroup = early.CgroupNeeded
		}
	}
	return l.write(early.Encode([]early.Step{{Op: "launch", Args: []string{id, early.Itoa(cloneFlags(s.Spaces)),
		early.Itoa(s.Identity.UID), early.Itoa(uid), early.Itoa(s.Identity.GID), early.Itoa(gid), cgroup}}}), files...)
}

// write sends a request, with those of the files that are not nil.
func (l *Launcher) write(request []byte, files ...*os.File) error {
	var fds []int
	for _, f := range files {
		if f != nil {
			fds = append(fds, int(f.Fd()))
		}
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	conn, err := l.socket.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = conn.Write(func(fd uintptr) bool {
		serr = unix.Sendmsg(int(fd), request, rights, nil, 0)
		return serr != unix.EAGAIN
	})
	return errors.Join(err, os.NewSyscallError("sendmsg", serr))
}

// control uses a file's descriptor and leaves it as it is, which Fd does not.
func control(f *os.File, use func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var uerr error
	err = conn.Control(func(fd uintptr) { uerr = use(int(fd)) })
	return errors.Join(err, uerr)
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
	defer close(l.heard)
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
		l.started(id, s.Args[1], s.Args[2])
	case "failed":
		l.forget(id).started <- stageError(s.Args[2], syscall.Errno(number(s.Args[1])))
	case "exited":
		l.forget(id).ended(s.Args[1:])
	}
}

func (l *Launcher) started(id, pid, cgroup string) {
	l.mu.Lock()
	p := l.children[id]
	p.forked = true
	given := p.cgroup
	if cgroup == early.NoCgroup {
		p.cgroup = nil
	}
	l.mu.Unlock()
	if p.cgroup == nil {
		given.discard() // it is empty
	}
	p.PID = number(pid)
	p.started <- nil
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("launcher answers " + s) // it is this very program
	}
	return n
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
		p.over(Exit{Code: -1, Signal: int(syscall.SIGKILL), Wall: time.Since(p.began)})
	}
	l.children = map[string]*Process{}
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
