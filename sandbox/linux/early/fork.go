package early

import (
	"runtime"
	"syscall"
	"unsafe"
)

// cloneArgs is the kernel's struct clone_args.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// spawn begins the stage, which makes its calls; what fails of them it says on
// the descriptor status, as [Failure]. In a cgroup, if that is not negative. It is
// called by a thread that lives as long as the process.
func (s *stage) spawn(flags uintptr, cgroup, status int) (pid int, err error) {
	args := &s.args
	*args = cloneArgs{flags: uint64(flags), exitSignal: uint64(syscall.SIGCHLD)}
	if s.shares {
		s.share(status)
	}
	c := clone{syscall.SYS_CLONE, uintptr(args.flags | args.exitSignal), uintptr(args.stack + args.stackSize), 0, uintptr(args.childTID)}
	if cgroup >= 0 {
		args.flags, args.cgroup = args.flags|cloneIntoCgroup, uint64(cgroup)
		c = clone{sysClone3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0, 0}
	}
	p, e := s.fork(c, uintptr(status))
	if e != 0 {
		s.running.Store(0)
	}
	runtime.KeepAlive(s)
	return int(p), failure(e)
}

func failure(e syscall.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

// clone is one of the two calls that begin a process: its number and arguments. By
// clone these are flags, stack, the parent's and the child's word of its id.
type clone struct{ number, first, second, third, fourth uintptr }

// fork makes a process that makes the stage's calls and never returns: in this
// process's memory, on a stack of its own, or with a copy of both. No signal reaches
// it meanwhile, so that no handler of Go's is called there; from here on neither it
// nor, where it is a copy, this thread may grow its stack, allocate, or be stopped
// by the collector.
//
//go:nosplit
//go:norace
//go:noinline
func (s *stage) fork(c clone, status uintptr) (pid uintptr, e syscall.Errno) {
	all, before := ^uint64(0), uint64(0)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&before)), sigsetBytes, 0, 0)
	if s.shares {
		pid, e = cloneOnto(c.number, c.first, c.second, c.third, c.fourth)
	} else {
		pid, _, e = syscall.RawSyscall6(c.number, c.first, c.second, c.third, c.fourth, 0, 0)
		if e == 0 && pid == 0 {
			play(s.calls, status)
		}
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&before)), 0, sigsetBytes, 0, 0)
	return pid, e
}

// play makes the calls of a stage. It does not return.
//
//go:nosplit
//go:norace
//go:noinline
func play(calls []call, status uintptr) {
	kept := uintptr(0)
	for i := range calls {
		c := &calls[i]
		subject := c.args[0]
		if c.mode == onKept {
			subject = kept
		}
		r, _, e := syscall.RawSyscall6(c.number, subject, c.args[1], c.args[2], c.args[3], c.args[4], c.args[5])
		switch {
		case c.mode == keeps:
			kept = r
		case c.mode == soleRead && r != 1:
			syscall.RawSyscall6(syscall.SYS_EXIT_GROUP, 1, 0, 0, 0, 0, 0)
		}
		if e == 0 || c.mode == tried || c.mode == whoeverIs && (e == syscall.ESRCH || e == syscall.EPERM) {
			continue
		}
		said := [2]uint32{uint32(e), uint32(c.step)}
		syscall.RawSyscall6(syscall.SYS_WRITE, status, uintptr(unsafe.Pointer(&said)), unsafe.Sizeof(said), 0, 0, 0)
		break
	}
	for {
		syscall.RawSyscall6(syscall.SYS_EXIT_GROUP, 1, 0, 0, 0, 0, 0)
	}
}

// Failure is what a stage says when a step fails: the error, and the number of
// the step in its program. What is not as long as that is none.
func Failure(said []byte) (errno syscall.Errno, step int, ok bool) {
	var words [2]uint32
	if len(said) != int(unsafe.Sizeof(words)) {
		return 0, 0, false
	}
	copy((*[unsafe.Sizeof(words)]byte)(unsafe.Pointer(&words))[:], said)
	return syscall.Errno(words[0]), int(words[1]), true
}
