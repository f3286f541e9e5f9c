package early

import (
	"sync"
	"syscall"
	"unsafe"
)

// children are the processes that run.
type children struct {
	null    int             // a descriptor of /dev/null
	files   *syscall.Rlimit // on open files, for builders; nil is what this process has
	cgroups cgroups         // of the launcher's own thread
	born    chan struct{}   // has an element when there may be a child
	stages  stages          // of the launcher's own thread
	filter  filter          // that programs install
	network network         // of the launcher's own thread
	plain   chan func()     // what the thread without a filter is to do; nil while no other has one

	mu  sync.Mutex     // guards what follows
	ids map[int]string // of the request, by process id; "" is nobody's
}

func newChildren() (*children, error) {
	c := &children{born: make(chan struct{}, 1), ids: map[int]string{}, stages: stages{shares: mayShare()}}
	var err error
	if c.null, err = syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if self, err = syscall.Open("/proc/self/exe", oPath|syscall.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	c.files, ignored = originalFiles(), ignoredSignals()
	quietChildren()
	go c.reap()
	if c.stages.shares {
		dropProgram()
	}
	return c, nil
}

// spawn forks a stage and says so; unless this fails, its end is told, too.
func (c *children) spawn(l launch, s *stage, cgroup string, cgroupFD int) error {
	flags := l.cloneFlags
	if l.outsideUID >= 0 {
		flags |= syscall.CLONE_NEWUSER
	}
	c.mu.Lock() // so that one that ends at once is known, to the service too
	defer c.mu.Unlock()
	pid, err := c.fork(s, flags, cgroupFD, l.status)
	if err != nil {
		return err
	}
	c.ids[pid] = l.id
	if l.outsideUID >= 0 {
		if err = mapIDs(pid, l); err == nil {
			_, err = syscall.Write(l.mapped[1], []byte{0})
		}
	}
	if err == nil {
		answer("started", l.id, Itoa(pid), cgroup)
	} else {
		c.ids[pid] = ""
		syscall.Kill(pid, syscall.SIGKILL)
	}
	select {
	case c.born <- struct{}{}:
	default:
	}
	return err
}

// awaitMapping lets the stage wait until its user namespace has its ids. If the
// launcher ends before that, so does the stage.
func (s *stage) awaitMapping(pipe [2]int) {
	s.add(syscall.SYS_CLOSE, uintptr(pipe[1]))
	s.addAs(soleRead, syscall.SYS_READ, uintptr(pipe[0]), s.hold(unsafe.Pointer(new(byte))), 1)
}

// mapIDs gives the user namespace of a process its one user and group.
func mapIDs(pid int, l launch) error {
	dir := "/proc/" + Itoa(pid)
	if err := writeFile(dir+"/uid_map", Itoa(l.uid)+" "+Itoa(l.outsideUID)+" 1"); err != nil {
		return err
	}
	if syscall.Geteuid() != 0 { // who has no privilege may only map groups for one that cannot change them
		if err := writeFile(dir+"/setgroups", "deny"); err != nil && err != syscall.ENOENT {
			return err
		}
	}
	return writeFile(dir+"/gid_map", Itoa(l.gid)+" "+Itoa(l.outsideGID)+" 1")
}

func writeFile(path, text string) error {
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = syscall.Write(fd, []byte(text))
	syscall.Close(fd)
	return err
}

// reap reports the end of each child. A process is reaped under the lock, so that
// a kill never meets a number that has been given to somebody else.
func (c *children) reap() {
	for {
		pid := awaitAny()
		if pid == 0 {
			<-c.born
			continue
		}
		c.mu.Lock()
		syscall.Kill(-pid, syscall.SIGKILL) // what is left of its group would hold its output open
		var status syscall.WaitStatus
		var usage syscall.Rusage
		_, err := syscall.Wait4(pid, &status, 0, &usage)
		for err == syscall.EINTR {
			_, err = syscall.Wait4(pid, &status, 0, &usage)
		}
		id := c.ids[pid]
		delete(c.ids, pid)
		c.mu.Unlock()
		if id != "" {
			answer("exited", id, Itoa(int(status)), Itoa(microseconds(usage.Utime)), Itoa(microseconds(usage.Stime)), Itoa(int(usage.Maxrss)))
		}
	}
}

func microseconds(t syscall.Timeval) int { return int(t.Sec)*1e6 + int(t.Usec) }

// kill ends a child with its process group. Where it is the first process of a
// pid namespace, all others in there end with it.
func (c *children) kill(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid, i := range c.ids {
		if i == id {
			killGroup(pid)
		}
	}
}

// killGroup: either call fails only where there is nothing left to kill.
func killGroup(pid int) {
	syscall.Kill(-pid, syscall.SIGKILL)
	syscall.Kill(pid, syscall.SIGKILL)
}

func (c *children) killEverything() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid := range c.ids {
		killGroup(pid)
	}
}
