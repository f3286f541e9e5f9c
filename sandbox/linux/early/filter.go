package early

import (
	"runtime"
	"syscall"
	"unsafe"
)

// filter is the system call filter of builders.
type filter struct {
	program   *filterProgram
	inherited bool // the launcher's own thread has it, and so has what it forks
}

// filterProgram is the kernel's struct sock_fprog.
type filterProgram struct {
	length uint16
	first  unsafe.Pointer
}

// useFilter lets the launcher's thread, and all that it forks from now on, have the
// filter. To install it the kernel translates it, which for each builder would take
// as long as the fork. What is to be without is forked by another thread. A
// launcher without privilege could not take it without giving up new privileges
// for all, so there each stage installs it by itself.
func (c *children) useFilter(instructions string) {
	f := []byte(instructions) // aligned
	c.filter.program = &filterProgram{length: uint16(len(f) / 8), first: unsafe.Pointer(unsafe.SliceData(f))}
	if syscall.Geteuid() != 0 {
		return
	}
	c.plain = make(chan func())
	ready := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(ready)
		for do := range c.plain {
			do()
		}
	}()
	<-ready
	_, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetSeccomp, seccompFilter, uintptr(unsafe.Pointer(c.filter.program)), 0, 0, 0)
	c.filter.inherited = e == 0
}

// fork is [stage.spawn] by the thread that is right for the stage.
func (c *children) fork(s *stage, flags uintptr, cgroup, status int) (pid int, err error) {
	if s.filtered || !s.filter.inherited {
		return c.network.spawn(s, flags, cgroup, status)
	}
	done := make(chan struct{})
	c.plain <- func() {
		pid, err = s.spawn(flags, cgroup, status)
		close(done)
	}
	<-done
	return pid, err
}
