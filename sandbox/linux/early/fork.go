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

// spawn forks the stage, which then makes its calls; what fails of them it says
// on the descriptor status, as [Failure]. In a cgroup, if that is not negative.
// It is called by a thread that lives as long as the process.
func (s *stage) spawn(flags uintptr, cgroup, status int) (pid int, err error) {
	args := &cloneArgs{flags: uint64(flags), exitSignal: uint64(syscall.SIGCHLD)}
	number, first, second := uintptr(syscall.SYS_CLONE), flags|uintptr(syscall.SIGCHLD), uintptr(0)
	if cgroup >= 0 {
		args.flags, args.cgroup = uint64(flags)|cloneIntoCgroup, uint64(cgroup)
		number, first, second = sysClone3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args)
	}
	p, e := fork(number, first, second, s.calls, uintptr(status))
	runtime.KeepAlive(args)
	runtime.KeepAlive(s.held)
	return int(p), failure(e)
}

func failure(e syscall.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

// fork makes a copy of this thread, in a copy of this process's memory, which
// makes the calls and never returns. No signal reaches it meanwhile, so that no
// handler of Go's is called there; from here on neither the copy nor this thread
// may grow its stack, allocate, or be stopped by the collector.
//
//go:nosplit
//go:norace
//go:noinline
func fork(number, first, second uintptr, calls []call, status uintptr) (uintptr, syscall.Errno) {
	all, before := ^uint64(0), uint64(0)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&before)), sigsetBytes, 0, 0)
	pid, _, e := syscall.RawSyscall6(number, first, second, 0, 0, 0, 0)
	if e == 0 && pid == 0 {
		play(calls, status)
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
