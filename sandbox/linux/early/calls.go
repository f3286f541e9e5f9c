package early

import (
	"runtime"
	"syscall"
	"unsafe"
)

// Numbers that the syscall package does not have, from the kernel's headers.
const (
	prSetNoNewPrivs = 38
	prSetSeccomp    = 22
	seccompFilter   = 2
	mountAttrRDOnly = 1
	atRecursive     = 0x8000
	sysClone3       = 435 // on every architecture
	sysCloseRange   = 436 // on every architecture
	sysMountSetattr = 442 // on every architecture
	closeOnExec     = 4
	oPath           = 0x200000
	atEmptyPath     = 0x1000
	getPersona      = 0xffffffff
	cloneIntoCgroup = 0x200000000

	sysLandlockCreateRuleset = 444 // on every architecture
	sysLandlockRestrictSelf  = 446 // on every architecture
	scopeAbstractSockets     = 1

	sigSetmask   = 2
	signals      = 64
	sigsetBytes  = 8
	workingDir   = -0x64      // AT_FDCWD
	capabilities = 0x20080522 // the newest version: two words a set
)

// sysSetns is the number of setns.
func sysSetns() uintptr {
	if runtime.GOARCH == "arm64" {
		return 268
	}
	return 308 // x86-64
}

// sysExecveat is the number of execveat.
func sysExecveat() uintptr {
	if runtime.GOARCH == "arm64" {
		return 281
	}
	return 322 // x86-64
}

// awaitAny waits until some child has ended, without reaping it, and says which;
// 0 is that there is no child.
func awaitAny() int {
	const all, exited, leaveIt = 0, 4, 0x1000000 // P_ALL, WEXITED, WNOWAIT
	var info struct {                            // siginfo_t
		_   [3]int32 // signal, error and code
		_   int32
		pid int32
		_   [108]byte
	}
	for {
		_, _, e := syscall.Syscall6(syscall.SYS_WAITID, all, 0, uintptr(unsafe.Pointer(&info)), exited|leaveIt, 0, 0)
		switch e {
		case 0:
			return int(info.pid)
		case syscall.ECHILD:
			return 0
		}
	}
}

// quietChildren lets the end of a child interrupt no thread: one waits for it. Go's
// handler would be run by whichever thread the kernel takes.
func quietChildren() {
	var byDefault [4]uint64 // struct sigaction
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGCHLD), uintptr(unsafe.Pointer(&byDefault)), 0, sigsetBytes, 0, 0)
}

// persona is what execution domain this process and its children have.
func persona() uintptr {
	now, _, _ := syscall.RawSyscall(syscall.SYS_PERSONALITY, getPersona, 0, 0) // it cannot fail
	return now
}

func readLimit(pid int, resource uintptr, l *syscall.Rlimit) error {
	_, _, e := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), resource, 0, uintptr(unsafe.Pointer(l)), 0, 0)
	return failure(e)
}
