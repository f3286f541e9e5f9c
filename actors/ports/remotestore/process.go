package remotestore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program whose input and output are a wire.
type process struct {
	in, out *os.File
	cmd     *exec.Cmd
	said    lines
	ended   chan struct{} // closed when it has
	closing sync.Once
}

const (
	lastWords = time.Second     // that a program has to end whose wire ended, and for what it says last
	patience  = 3 * time.Second // that it has to end when it is told to
)

// spawn runs a program. Where nobody is at the terminal it has none.
func spawn(args []string, s Settings) (*process, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirIn.Close(), in.Close())
	}
	p := &process{in: in, out: out, cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{}), said: lines{say: s.Say}}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirIn, theirOut, &p.said
	p.cmd.Env, p.cmd.WaitDelay = sshEnvironment(), lastWords
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: !s.Interactive}
	err = p.cmd.Start()
	theirIn.Close()
	theirOut.Close()
	if err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	go func() {
		p.cmd.Wait() // how it ended is for its last words to say
		close(p.ended)
	}()
	return p, nil
}

func (p *process) Read(b []byte) (int, error)  { return p.out.Read(b) }
func (p *process) Write(b []byte) (int, error) { return p.in.Write(b) }
func (p *process) idle() bool                  { return nothingCame(p.out) }

// Close ends the program, be it by force.
func (p *process) Close() (err error) {
	p.closing.Do(func() {
		err = errors.Join(p.in.Close(), p.out.Close())
		select {
		case <-p.ended:
		case <-time.After(patience):
			p.kill()
			<-p.ended
		}
	})
	return err
}

// abandon ends a program that is not connected yet, which has nothing to end in order
// and would not notice that it should.
func (p *process) abandon() {
	p.kill()
	p.Close()
}

// kill ends the program, with all that it started if it is in a session of its
// own.
func (p *process) kill() {
	if p.cmd.SysProcAttr.Setsid {
		unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL) // it may have ended meanwhile
		return
	}
	p.cmd.Process.Kill()
}

// epitaph adds what the program said last.
func (p *process) epitaph(reason error) error {
	select {
	case <-p.ended:
	case <-time.After(lastWords):
	}
	if said := p.said.last(); said != "" {
		return errors.New(said)
	}
	if errors.Is(reason, io.EOF) || errors.Is(reason, io.ErrUnexpectedEOF) {
		select {
		case <-p.ended:
			return fmt.Errorf("'%s' ended: %v", p.cmd.Args[0], p.cmd.ProcessState)
		default:
		}
	}
	return reason
}

// awaitStart reads the line by which ssh says that it is connected.
func (p *process) awaitStart() error {
	var line strings.Builder
	for b := make([]byte, 1); line.Len() <= maxLine; {
		if _, err := p.out.Read(b); err != nil {
			return err
		}
		if b[0] == '\n' {
			break
		}
		line.WriteByte(b[0])
	}
	if line.String() != started {
		return fmt.Errorf("it says '%.100s'", line.String())
	}
	return nil
}

const (
	maxLine   = 4 << 10 // bytes of a line that are kept
	linesKept = 5
)

// lines passes on what a program writes line by line, and keeps the last ones.
type lines struct {
	say func(string) // nil is nobody

	mu   sync.Mutex // guards what follows
	part []byte     // of a line
	kept []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range b {
		switch {
		case c == '\n':
			l.end()
		case len(l.part) < maxLine:
			l.part = append(l.part, c)
		}
	}
	return len(b), nil
}

func (l *lines) end() {
	line := strings.TrimRight(string(l.part), "\r")
	l.part = l.part[:0]
	if line == "" {
		return
	}
	if l.say != nil {
		l.say(line)
	}
	if l.kept = append(l.kept, line); len(l.kept) > linesKept {
		l.kept = l.kept[1:]
	}
}

// last are the last lines, as one.
func (l *lines) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.end()
	}
	return strings.Join(l.kept, "; ")
}

// nothingCame reports whether a descriptor is open at the other end, with nothing
// to read.
func nothingCame(f syscall.Conn) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	n := -1
	err = raw.Control(func(fd uintptr) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	})
	return err == nil && n == 0
}
