package linux

import (
	"errors"
	"os"
	"syscall"
	"time"

	"troupe/sandbox/linux/early"
)

// Process is a builder that runs.
type Process struct {
	PID int
	// Output reads what the builder writes. It ends when no process has the
	// other side open any more.
	Output *os.File

	launcher *Launcher
	id       string
	cgroup   *cgroup // nil without
	began    time.Time
	started  chan error // one value: whether the stage was forked
	forked   bool       // that value was nil; guarded by the launcher's mu
	exited   chan struct{}
	exit     Exit
}

// Exit is how a builder ended and what it used: with a cgroup, it and all that it
// started; without, it and those of its children that it waited for.
type Exit struct {
	Code, Signal int // the code is -1 where a signal ended it
	Wall         time.Duration
	User, System time.Duration
	PeakMemory   uint64 // bytes; without a cgroup that counts it, of the largest process
}

func (p *Process) ended(a []string) {
	status := syscall.WaitStatus(number(a[0]))
	exit := Exit{Code: status.ExitStatus(), Wall: time.Since(p.began),
		User: time.Duration(number(a[1])) * time.Microsecond, System: time.Duration(number(a[2])) * time.Microsecond,
		PeakMemory: uint64(number(a[3])) << 10}
	if status.Signaled() {
		exit.Signal = int(status.Signal())
	}
	p.over(exit)
}

// over tells whoever waits, when what is left in the cgroup has ended. Nobody
// else is kept waiting for that.
func (p *Process) over(e Exit) {
	p.launcher.ending.Go(func() {
		p.cgroup.end(&e)
		p.exit = e
		close(p.exited)
	})
}

// Wait waits for the builder's own end; others may still have its output open.
func (p *Process) Wait() Exit {
	<-p.exited
	return p.exit
}

// Kill kills the builder and its process group; in a cgroup or a pid namespace
// that is everything it has started. One that has ended already is well.
func (p *Process) Kill() error {
	err := p.cgroup.kill()
	return errors.Join(err, p.launcher.write(early.Encode([]early.Step{{Op: "kill", Args: []string{p.id}}})))
}
