package early

import (
	"runtime"
	"sync"
	"syscall"
)

// A request on the launcher's socket is one packet: a [Step] with Op "launch",
// "kill" or "cgroups". The descriptors of a launch are, in order: the cgroup that
// the stage is born in, unless CGROUP is [NoCgroup]; then those that the stage
// gets as output, program, status and, if there is one, extra.
//
//	launch  ID CLONE-FLAGS UID-INSIDE UID-OUTSIDE GID-INSIDE GID-OUTSIDE CGROUP
//	kill    ID
//	cgroups PATH
//
// The one descriptor of "cgroups" is the locked directory PATH, in which the
// cgroups of launches are; when the service is gone, what runs in there is
// killed and the directory is removed.
//
// Answers are packets of the same form:
//
//	started ID PID CGROUP
//	failed  ID TEXT
//	exited  ID STATUS USER-MICROSECONDS SYSTEM-MICROSECONDS PEAK-KILOBYTES
//
// With user ids of -1 there is no user namespace. The CGROUP of an answer is
// [NoCgroup] where the stage is in none.

// What a launch says of the stage's cgroup.
const (
	NoCgroup     = "no"
	CgroupWanted = "wanted" // where the kernel lets it be born there
	CgroupNeeded = "needed"
)

// MaxPacket bounds a request and an answer, in bytes.
const MaxPacket = 4096

// maxFDs is how many descriptors a launch has at most.
const maxFDs = 5

// launcher serves requests until the service closes the socket or dies. All
// forks are made by this one thread, which lives as long as the process: the
// death signal of a child is bound to the thread that made it.
func launcher() {
	runtime.LockOSThread()
	syscall.CloseOnExec(LauncherFD)
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	l := &children{null: null, pids: map[string]int{}}
	for {
		request, fds, ok := receive()
		if !ok {
			l.killEverything()
			l.cgroups.end()
			return
		}
		switch request.Op {
		case "launch":
			l.start(request.Args, fds)
		case "kill":
			l.kill(request.Args[0])
		case "cgroups":
			l.cgroups = cgroups{path: request.Args[0], fd: fds[0]}
			fds = nil // it is kept open
		}
		for _, fd := range fds {
			syscall.Close(fd)
		}
	}
}

// children are the processes that run.
type children struct {
	null    int     // a descriptor of /dev/null
	cgroups cgroups // of the launcher's own thread

	mu   sync.Mutex
	pids map[string]int // by the id of the request; guarded by mu
}

// stageCapabilities are those that set up a sandbox. They are only good in the
// stage's own user namespace; without this they would not survive its exec.
var stageCapabilities = []uintptr{
	6,  // CAP_SETGID
	7,  // CAP_SETUID
	12, // CAP_NET_ADMIN
	21, // CAP_SYS_ADMIN
}

// start forks one stage. Its set-up is the stage's business; what fails here is
// that the kernel gives no process or no namespace.
func (c *children) start(a []string, fds []int) {
	var cgroupFD int
	if a[6] != NoCgroup {
		cgroupFD, fds = fds[0], fds[1:]
	}
	files := []uintptr{uintptr(c.null), uintptr(fds[0]), uintptr(fds[0])}
	for _, fd := range fds[1:] {
		files = append(files, uintptr(fd))
	}
	attr := &syscall.ProcAttr{Dir: "/", Env: []string{}, Files: files, Sys: &syscall.SysProcAttr{
		Setsid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: uintptr(atoi(a[1])),
	}}
	if outside := atoi(a[3]); outside >= 0 {
		attr.Sys.Cloneflags |= syscall.CLONE_NEWUSER
		attr.Sys.UidMappings = []syscall.SysProcIDMap{{ContainerID: atoi(a[2]), HostID: outside, Size: 1}}
		attr.Sys.GidMappings = []syscall.SysProcIDMap{{ContainerID: atoi(a[4]), HostID: atoi(a[5]), Size: 1}}
		attr.Sys.GidMappingsEnableSetgroups = syscall.Geteuid() == 0
		attr.Sys.AmbientCaps = stageCapabilities
	}
	pid, cgroup, err := fork(attr, a[6], cgroupFD)
	if err != nil {
		answer("failed", a[0], failureText(forkStep(cgroup), err))
		return
	}
	c.mu.Lock()
	c.pids[a[0]] = pid
	c.mu.Unlock()
	answer("started", a[0], Itoa(pid), cgroup)
	go c.wait(a[0], pid)
}

// fork makes a stage and says whether that is in the cgroup. The kernel may not
// give it there: before Linux 5.7 it cannot, and filters of containers may not let
// it. Where the cgroup is only wanted, it is made without.
func fork(attr *syscall.ProcAttr, wanted string, cgroupFD int) (pid int, cgroup string, err error) {
	if wanted != NoCgroup {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, cgroupFD
		if pid, err = forkExec(attr); err == nil || wanted == CgroupNeeded {
			return pid, wanted, err
		}
		attr.Sys.UseCgroupFD = false
	}
	pid, err = forkExec(attr)
	return pid, NoCgroup, err
}

func forkExec(attr *syscall.ProcAttr) (int, error) {
	return syscall.ForkExec("/proc/self/exe", []string{StageName}, attr)
}

// ForkInCgroup begins the text of a failure whose reason may be the cgroup.
const ForkInCgroup = "fork in a cgroup"

func forkStep(cgroup string) string {
	if cgroup == NoCgroup {
		return "fork"
	}
	return ForkInCgroup
}

// wait reports a child's end. The process is reaped under the lock, so that a
// kill never meets a number that has been given to somebody else.
func (c *children) wait(id string, pid int) {
	awaitExit(pid)
	var status syscall.WaitStatus
	var usage syscall.Rusage
	c.mu.Lock()
	syscall.Kill(-pid, syscall.SIGKILL) // what is left of its group would hold its output open
	_, err := syscall.Wait4(pid, &status, 0, &usage)
	for err == syscall.EINTR {
		_, err = syscall.Wait4(pid, &status, 0, &usage)
	}
	delete(c.pids, id)
	c.mu.Unlock()
	answer("exited", id, Itoa(int(status)), Itoa(microseconds(usage.Utime)), Itoa(microseconds(usage.Stime)), Itoa(int(usage.Maxrss)))
}

func microseconds(t syscall.Timeval) int { return int(t.Sec)*1e6 + int(t.Usec) }

// kill ends a child with its process group. Where it is the first process of a
// pid namespace, all others in there end with it.
func (c *children) kill(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pid := c.pids[id]; pid > 0 {
		killGroup(pid)
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
	for _, pid := range c.pids {
		killGroup(pid)
	}
}

func receive() (s Step, fds []int, ok bool) {
	var packet [MaxPacket]byte
	control := make([]byte, syscall.CmsgSpace(maxFDs*4))
	for {
		n, cn, _, _, err := syscall.Recvmsg(LauncherFD, packet[:], control, syscall.MSG_CMSG_CLOEXEC)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return Step{}, nil, false
		}
		messages, err := syscall.ParseSocketControlMessage(control[:cn])
		if err == nil && len(messages) > 0 {
			fds, err = syscall.ParseUnixRights(&messages[0])
		}
		if err != nil {
			return Step{}, nil, false
		}
		s, _ = decode(packet[:n])
		return s, fds, true
	}
}

func answer(op string, args ...string) {
	packet := Encode([]Step{{op, args}})
	if len(packet) > MaxPacket {
		packet = Encode([]Step{{op, []string{args[0], args[1][:MaxPacket/2]}}})
	}
	// A service that does not listen any more is about to close the socket.
	syscall.Sendmsg(LauncherFD, packet, nil, nil, 0)
}
