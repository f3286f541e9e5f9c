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
	sysCloseRange   = 436 // on every architecture
	sysMountSetattr = 442 // on every architecture
	closeOnExec     = 4
	oPath           = 0x200000
	atEmptyPath     = 0x1000
	getPersona      = 0xffffffff

	sysLandlockCreateRuleset = 444 // on every architecture
	sysLandlockRestrictSelf  = 446 // on every architecture
	scopeAbstractSockets     = 1
)

func prctl(option, value uintptr) error {
	_, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, option, value, 0, 0, 0, 0)
	return failure(e)
}

func failure(e syscall.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

// awaitExit waits until a child has ended, without reaping it.
func awaitExit(pid int) {
	const byPID, exited, leaveIt = 1, 4, 0x1000000 // P_PID, WEXITED, WNOWAIT
	for {
		_, _, e := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), 0, exited|leaveIt, 0, 0)
		if e != syscall.EINTR {
			return
		}
	}
}

func loopback() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	var request struct { // struct ifreq
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], "lo")
	request.flags = syscall.IFF_UP | syscall.IFF_LOOPBACK | syscall.IFF_RUNNING
	_, _, e := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request)))
	return failure(e)
}

// readOnly adds to the flags of a mount, as some of those it
// has may be locked.
func readOnly(target string, flags uintptr) error {
	path, err := syscall.BytePtrFromString(target)
	if err != nil {
		return err
	}
	attr := struct{ set, clear, propagation, userns uint64 }{set: mountAttrRDOnly}
	const here = -0x64 // AT_FDCWD
	at := here
	_, _, e := syscall.RawSyscall6(sysMountSetattr, uintptr(at), uintptr(unsafe.Pointer(path)), flags,
		uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	return failure(e)
}

// pivot makes a directory, which is a mount point, the root, and leaves nothing
// of the old one.
func pivot(root string) error {
	if err := syscall.Chdir(root); err != nil {
		return err
	}
	if err := syscall.PivotRoot(".", "."); err != nil { // the old root is now on top of the new one
		return err
	}
	if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
		return err
	}
	return syscall.Chdir("/")
}

func closeFrom(first uintptr) error {
	_, _, e := syscall.RawSyscall(sysCloseRange, first, 1<<31-1, closeOnExec)
	return failure(e)
}

// execSelf executes this program anew, by its descriptor.
func execSelf(args []string) error {
	argv, err := syscall.SlicePtrFromStrings(args)
	if err != nil {
		return err
	}
	number := uintptr(322) // execveat on x86-64
	if runtime.GOARCH == "arm64" {
		number = 281
	}
	var empty byte
	var noEnv *byte
	_, _, e := syscall.RawSyscall6(number, uintptr(self), uintptr(unsafe.Pointer(&empty)), uintptr(unsafe.Pointer(&argv[0])),
		uintptr(unsafe.Pointer(&noEnv)), atEmptyPath, 0)
	return e
}

func noCore() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
		return err
	}
	limit.Cur = 0
	return syscall.Setrlimit(syscall.RLIMIT_CORE, &limit)
}

func setGroup(gid int, clearOthers []string) error {
	if len(clearOthers) > 0 {
		groups := make([]uint32, 0, len(clearOthers))
		for _, g := range clearOthers {
			if g != "" {
				groups = append(groups, uint32(atoi(g)))
			}
		}
		var first unsafe.Pointer
		if len(groups) > 0 {
			first = unsafe.Pointer(&groups[0])
		}
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); e != 0 {
			return e
		}
	}
	_, _, e := syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid))
	return failure(e)
}

func setUser(uid int) error {
	_, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
	return failure(e)
}

func personality(bits uintptr) error {
	now, _, e := syscall.RawSyscall(syscall.SYS_PERSONALITY, getPersona, 0, 0)
	if e != 0 {
		return e
	}
	_, _, e = syscall.RawSyscall(syscall.SYS_PERSONALITY, now|bits, 0, 0)
	return failure(e)
}

// seccomp installs a filter: instructions of eight bytes each.
func seccomp(filter []byte) error {
	program := struct {
		length uint16
		_      [6]byte
		first  unsafe.Pointer
	}{length: uint16(len(filter) / 8), first: unsafe.Pointer(&filter[0])}
	_, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetSeccomp, seccompFilter, uintptr(unsafe.Pointer(&program)), 0, 0, 0)
	return failure(e)
}

// ownSockets makes a Landlock domain from which abstract sockets that others have
// made cannot be reached.
func ownSockets() error {
	rules := struct{ files, net, scoped uint64 }{scoped: scopeAbstractSockets}
	fd, _, e := syscall.RawSyscall(sysLandlockCreateRuleset, uintptr(unsafe.Pointer(&rules)), unsafe.Sizeof(rules), 0)
	if e != 0 {
		return e
	}
	_, _, e = syscall.RawSyscall(sysLandlockRestrictSelf, fd, 0, 0)
	syscall.Close(int(fd))
	return failure(e)
}

// killAll kills every process of this user but this one. The kernel does it in
// one pass during which nothing forks.
func killAll() error {
	err := syscall.Kill(-1, syscall.SIGKILL)
	if err == nil || err == syscall.ESRCH || err == syscall.EPERM {
		syscall.Exit(0)
	}
	return err
}

// defaultSignals lets no signal be ignored because the service ignores it:
// that alone would survive an exec.
func defaultSignals() error {
	var action [4]uint64 // struct sigaction: the default, no flags, nothing blocked
	for signal := uintptr(1); signal <= 64; signal++ {
		if signal == uintptr(syscall.SIGKILL) || signal == uintptr(syscall.SIGSTOP) {
			continue
		}
		_, _, e := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, signal, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
		if e != 0 {
			return e
		}
	}
	return nil
}

// dropCapabilities gives up those that a stage keeps across its own exec.
func dropCapabilities() error {
	header := struct{ version, pid uint32 }{version: 0x20080522} // the newest: two words a set
	var none [2]struct{ effective, permitted, inheritable uint32 }
	_, _, e := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0)
	return failure(e)
}
