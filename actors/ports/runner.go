package ports

import (
	"errors"
	"sync"

	"troupe/sandbox/linux"
)

// runner is the process of a build, if it has one. It lets a build be ended by
// somebody who does not know how far it has come.
type runner struct {
	mu   sync.Mutex // guards what follows
	over bool       // nothing is to run any more
	proc killer
	gone chan struct{} // closed when the process and all its output are done with; nil if none was begun
}

var errOver = errors.New("the build was given up")

// begin announces a process; done is called when it is done with.
func (r *runner) begin() (done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return nil, errOver
	}
	gone := make(chan struct{})
	r.gone = gone
	return func() { close(gone) }, nil
}

// started names the process that was announced.
func (r *runner) started(p killer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proc = p
	if r.over {
		return p.Kill()
	}
	return nil
}

// process is what was started, if it is a process of this machine, or nil.
func (r *runner) process() *linux.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, _ := r.proc.(*linux.Process)
	return p
}

// end kills what runs and waits until it is dead. Nothing begins afterwards.
func (r *runner) end() error {
	r.mu.Lock()
	r.over = true
	proc, gone := r.proc, r.gone
	r.mu.Unlock()
	if gone == nil {
		return nil
	}
	select {
	case <-gone:
		return nil
	default:
	}
	var err error
	if proc != nil {
		err = proc.Kill()
	}
	<-gone
	return err
}
