package early

import (
	"runtime"
	"syscall"
)

// A request on the launcher's socket is one packet: a [Step] with Op "launch",
// "kill", "cgroups" or "filter". The descriptors of a launch are, in order: the cgroup that
// the stage is born in, unless CGROUP is [NoCgroup]; the program; where the stage
// says what went wrong, as [Failure], which is closed when the builder is
// executed; what the stage gets as output and, if there is one, as [ExtraFD].
//
//	launch  ID CLONE-FLAGS UID-INSIDE UID-OUTSIDE GID-INSIDE GID-OUTSIDE CGROUP
//	kill    ID
//	cgroups PATH
//	filter  INSTRUCTIONS
//
// The one descriptor of "cgroups" is the locked directory PATH, in which the
// cgroups of launches are; when the service is gone, what runs in there is
// killed and the directory is removed. The instructions of "filter", of eight
// bytes each, are those of the system call filter that programs install.
//
// Answers are packets of the same form:
//
//	started ID PID CGROUP
//	failed  ID ERRNO TEXT
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

// self is this program, for builtin builders.
var self int

// launcher serves requests until the service closes the socket or dies. All
// forks are made by this thread and, without a filter, one other; both live as
// long as the process: the death signal of a child is bound to the thread that
// made it.
func launcher() {
	runtime.LockOSThread()
	syscall.CloseOnExec(LauncherFD)
	c, err := newChildren()
	if err != nil {
		return
	}
	for {
		request, fds, ok := receive()
		if !ok {
			c.killEverything()
			c.cgroups.end()
			return
		}
		switch request.Op {
		case "launch":
			c.start(newLaunch(request.Args, fds))
		case "kill":
			c.kill(request.Args[0])
		case "cgroups":
			c.cgroups = cgroups{path: request.Args[0], fd: fds[0]}
			fds = nil // it is kept open
		case "filter":
			c.useFilter(request.Args[0])
		}
		for _, fd := range fds {
			syscall.Close(fd)
		}
	}
}

// launch is what the service asks for.
type launch struct {
	id                     string
	cloneFlags             uintptr
	uid, gid               int    // inside
	outsideUID, outsideGID int    // negative without a user namespace
	cgroup                 string // what is wanted of one

	cgroupFD, program, status, output, extra int // -1 is none

	mapped [2]int // a pipe: a byte when the user namespace has its ids
}

func newLaunch(a []string, fds []int) launch {
	l := launch{id: a[0], cloneFlags: uintptr(atoi(a[1])), uid: atoi(a[2]), outsideUID: atoi(a[3]), gid: atoi(a[4]), outsideGID: atoi(a[5]),
		cgroup: a[6], cgroupFD: -1, extra: -1}
	if l.cgroup != NoCgroup {
		l.cgroupFD, fds = fds[0], fds[1:]
	}
	l.program, l.status, l.output = fds[0], fds[1], fds[2]
	if len(fds) > 3 {
		l.extra = fds[3]
	}
	return l
}

// ForkInCgroup begins the text of a failure whose reason may be the cgroup.
const ForkInCgroup = "fork in a cgroup"

// start makes one stage. Its set-up is the stage's business; what fails here is,
// more than all else, that the kernel gives no process or no namespace.
func (c *children) start(l launch) {
	s := c.stages.next()
	s.filter = c.filter
	if err := s.read(l.program); err != nil {
		failed(l, "read program", err)
		return
	}
	if l.outsideUID >= 0 {
		if err := syscall.Pipe2(l.mapped[:], syscall.O_CLOEXEC); err != nil {
			failed(l, "pipe", err)
			return
		}
		defer syscall.Close(l.mapped[0])
		defer syscall.Close(l.mapped[1])
	}
	c.prepare(s, l)
	if err := s.compile(); err != nil {
		failed(l, Describe(s.current), err)
		return
	}
	c.forkStage(l, s)
	c.network.prepare(l.cloneFlags)
}

func (c *children) forkStage(l launch, s *stage) {
	cgroup := l.cgroup
	err := c.spawn(l, s, cgroup, l.cgroupFD)
	// The kernel may not give it there: before Linux 5.7 it cannot, and filters of
	// containers may not let it. Where the cgroup is only wanted, it is made without.
	if err != nil && cgroup == CgroupWanted {
		cgroup = NoCgroup
		err = c.spawn(l, s, cgroup, -1)
	}
	switch {
	case err == nil:
	case cgroup == NoCgroup:
		failed(l, "fork", err)
	default:
		failed(l, ForkInCgroup, err)
	}
}

func failed(l launch, what string, err error) {
	number := 0
	if e, ok := err.(syscall.Errno); ok {
		number = int(e)
	}
	answer("failed", l.id, Itoa(number), what)
}

// prepare adds what is the same for each stage, before its program.
func (c *children) prepare(s *stage, l launch) {
	if l.outsideUID >= 0 {
		s.awaitMapping(l.mapped)
	}
	s.add(syscall.SYS_SETSID)
	s.dieWithParent()
	s.add(syscall.SYS_CHDIR, s.text("/"))
	for to, from := range []int{c.null, l.output, l.output, l.extra} {
		if from >= 0 {
			s.add(syscall.SYS_DUP3, uintptr(from), uintptr(to), 0)
		}
	}
	if c.files != nil {
		s.limit(syscall.RLIMIT_NOFILE, c.files)
	}
}

// read reads the program from a file.
func (s *stage) read(fd int) error {
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return err
	}
	if int(st.Size) > cap(s.program) {
		s.program = make([]byte, st.Size)
	}
	s.program = s.program[:st.Size]
	for at := 0; at < len(s.program); {
		n, err := syscall.Pread(fd, s.program[at:], int64(at))
		if err != nil {
			return err
		}
		if n == 0 {
			return syscall.EIO
		}
		at += n
	}
	return nil
}

// packet is the request that is being received.
var packet [MaxPacket]byte

func receive() (s Step, fds []int, ok bool) {
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
		return Decode(packet[:n]), fds, true
	}
}

func answer(op string, args ...string) {
	said := Encode([]Step{{op, args}})
	if len(said) > MaxPacket { // only a text is as long
		last := len(args) - 1
		args[last] = args[last][:MaxPacket/2]
		said = Encode([]Step{{op, args}})
	}
	// A service that does not listen any more is about to close the socket.
	syscall.Sendmsg(LauncherFD, said, nil, nil, 0)
}
