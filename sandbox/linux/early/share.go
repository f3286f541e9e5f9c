package early

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// A stage in the launcher's memory costs no copy of its page tables and no page that
// either would copy when it writes. It changes nothing there but its stack, until
// its exec gives it a memory of its own.
const (
	cloneVM           = 0x100
	cloneClearChildID = 0x200000
)

// shared is what a stage in this memory has of its own. A stage is made by [stages] only:
// on the stack of a goroutine it could move while it runs.
type shared struct {
	shares bool
	// running is not zero from before the stage begins until the kernel knows that it
	// does not use this memory any more. So long nothing that it uses may change.
	running atomic.Uint32
	// stack ends with the arguments of [play].
	stack [1024]uintptr
}

// share lets a stage begin in this process's memory.
func (s *stage) share(status int) {
	args := &s.args
	last := s.stack[len(s.stack)-playArgs:]
	last[0], last[1], last[2], last[3] = uintptr(unsafe.Pointer(unsafe.SliceData(s.calls))), uintptr(len(s.calls)), uintptr(cap(s.calls)), uintptr(status)
	args.flags |= cloneVM | cloneClearChildID
	args.stack, args.stackSize = uint64(uintptr(unsafe.Pointer(&s.stack))), uint64(len(s.stack)-playArgs)*8
	args.childTID = uint64(uintptr(unsafe.Pointer(&s.running)))
	s.running.Store(1)
}

// playArgs is how many words the arguments of [play] have.
const playArgs = 4

// mayShare is whether a stage may be in this memory. It changes its user there, and
// where the machine lets such processes be traced, that user's others could reach
// what is root's.
func mayShare() bool {
	if !canShare {
		return false
	}
	fd, err := syscall.Open("/proc/sys/fs/suid_dumpable", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer syscall.Close(fd)
	var said [1]byte
	n, err := syscall.Read(fd, said[:])
	const traceable = '1'
	return err == nil && n == 1 && said[0] != traceable
}

// stages are used again, as is all memory that they have. It is kept while they run.
type stages struct {
	all    []*stage
	shares bool
}

// next is one that does not run.
func (l *stages) next() *stage {
	for _, s := range l.all {
		if s.running.Load() == 0 {
			s.reset()
			return s
		}
	}
	s := &stage{shared: shared{shares: l.shares}}
	l.all = append(l.all, s)
	return s
}
