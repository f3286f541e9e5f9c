package ports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"time"

	"troupe/messages"
	"troupe/sandbox/linux"
)

// Process runs builders: their output goes into their logs, and a message says
// so.
type Process struct {
	out    Outbox
	s      Services
	builds *Builds

	mu      sync.Mutex // guards running
	running map[messages.Address]*running
}

// running is a builder that was started and has not been seen to end.
type running struct {
	proc killer
	kill *time.Timer // nil before it is asked for
}

// killer is what a build runs as.
type killer interface{ Kill() error }

// killDelay is how long a builder has to end by itself. One whose output has
// ended has mostly ended as well, and is about to be told of.
const killDelay = 5 * time.Millisecond

// NewProcess makes the process port; builds has what it is asked to run.
func NewProcess(out Outbox, s Services, builds *Builds) *Process {
	return &Process{out: out, s: s, builds: builds, running: map[messages.Address]*running{}}
}

// Handle takes one message.
func (p *Process) Handle(m messages.Message) {
	switch m := m.(type) {
	case *messages.Launch:
		go p.run(m) // as many as there are slots
	case *messages.KillProcess:
		p.kill(m.Build)
	default:
		panic(fmt.Sprintf("process: unexpected %v", m))
	}
}

func (p *Process) run(m *messages.Launch) {
	b := p.builds.find(m.Build)
	if b == nil {
		return // it was given up, and so was who asks
	}
	done, err := b.runner.begin()
	if err != nil {
		return
	}
	defer done()
	if b.engagement != nil {
		p.runElsewhere(m, b)
		return
	}
	extra, err := p.builtinInput(b)
	if err != nil {
		p.out.Send(m.Child, &messages.ProcessFailed{Reason: err.Error()})
		return
	}
	proc, err := p.s.Launcher.Start(b.spec, b.places, extra)
	if extra != nil {
		p.builds.warn(extra.Close(), "close builtin's input")
	}
	if err != nil {
		p.out.Send(m.Child, failedToStart(b, err))
		return
	}
	p.start(m.Build, b, proc)
	b.nest.begin(p.builds.nests)
	p.out.Send(m.Child, &messages.ProcessStarted{PID: proc.PID, At: p.out.Now()})
	tail := p.pump(m.Child, b, proc)
	p.builds.endLog(b)
	exit := proc.Wait()
	b.nest.close()
	p.forget(m.Build)
	b.exit = messages.Exit{Code: exit.Code, Signal: exit.Signal, Wall: exit.Wall, CPUUser: exit.User, CPUSystem: exit.System, PeakMemory: exit.PeakMemory}
	p.out.Send(m.Child, &messages.ProcessExited{Exit: b.exit, LastLog: tail.lines()})
}

// start makes what runs known, so that it can be killed.
func (p *Process) start(build messages.Address, b *build, proc killer) {
	p.mu.Lock()
	p.running[build] = &running{proc: proc}
	p.mu.Unlock()
	p.builds.warn(b.runner.started(proc), "kill builder")
}

// failedToStart tells a builder that cannot be executed, which is the
// derivation's fault, from a sandbox that cannot be made.
func failedToStart(b *build, err error) messages.Message {
	text := err.Error()
	if i := strings.Index(text, "exec "); i >= 0 {
		for _, errno := range []error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOEXEC, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.E2BIG} {
			if errors.Is(err, errno) {
				return &messages.ProcessFailed{Reason: fmt.Sprintf("executing '%s': %v", b.spec.Builder, errnoOf(err)), Builder: true}
			}
		}
	}
	return &messages.ProcessFailed{Reason: text}
}

func errnoOf(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// pump moves the output into the log until nobody can write any more, says so,
// and waits for the process.
func (p *Process) pump(child messages.Address, b *build, proc *linux.Process) *tail {
	w := &logPump{p: p, b: b, child: child, tail: newTail(b.policy.LogLines)}
	done := make(chan struct{})
	go func() {
		proc.Wait()
		p.killLeftovers(b)
		close(done)
	}()
	buf := pumpBuffers.Get().(*[]byte)
	io.CopyBuffer(w, struct{ io.Reader }{proc.Output}, *buf) // until EIO: the other side is closed
	pumpBuffers.Put(buf)
	p.out.Send(child, &messages.EOF{})
	<-done
	p.builds.warn(proc.Output.Close(), "close builder's output")
	return w.tail
}

// pumpBuffers are kept for the next builder: most say little.
var pumpBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// killLeftovers kills what a builder without a pid namespace of its own has left
// behind under its user; it would hold the output open.
func (p *Process) killLeftovers(b *build) {
	if id := b.spec.Identity; id.Change && !b.spec.Spaces.PID {
		p.builds.warn(p.s.Launcher.KillUser(id.OutsideUID), "kill what a builder left")
	}
}

func (p *Process) kill(build messages.Address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.running[build]; r != nil && r.kill == nil {
		r.kill = time.AfterFunc(killDelay, func() { p.builds.warn(r.proc.Kill(), "kill builder") })
	}
}

func (p *Process) forget(build messages.Address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.running[build]; r.kill != nil {
		r.kill.Stop()
	}
	delete(p.running, build)
}

// tail keeps the last lines of a log that are output, not sayings.
type tail struct {
	max  int
	kept []string
	open []byte // a line that has not ended
}

// maxLine bounds what is kept of a line, in bytes.
const maxLine = 4096

func newTail(max int) *tail { return &tail{max: max} }

func (t *tail) add(b []byte) {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			t.open = append(t.open, b[:min(len(b), max(0, maxLine-len(t.open)))]...)
			return
		}
		t.end(append(t.open, b[:min(i, max(0, maxLine-len(t.open)))]...))
		t.open = t.open[:0]
		b = b[i+1:]
	}
}

// end keeps a line. A carriage return overwrites what is before it.
func (t *tail) end(line []byte) {
	if _, is, _ := ReadSaying(line); is { // what is none is shown as it is
		return
	}
	line = bytes.TrimRight(line, "\r")
	if i := bytes.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	t.kept = append(t.kept, string(line))
	if len(t.kept) > t.max {
		t.kept = t.kept[1:]
	}
}

func (t *tail) lines() []string {
	if len(t.open) > 0 {
		t.end(t.open)
		t.open = nil
	}
	return t.kept
}

// last is the newest line that is not blank, shortened.
func (t *tail) last() string {
	const shown = 200
	line := string(t.open)
	if bytes.HasPrefix(t.open, sayingBegins) {
		line = ""
	}
	for i := len(t.kept) - 1; i >= 0 && strings.TrimSpace(line) == ""; i-- {
		line = t.kept[i]
	}
	return line[:min(len(line), shown)]
}
