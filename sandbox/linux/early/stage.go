package early

import (
	"runtime"
	"syscall"
)

// stage performs its program. It returns only when a step failed.
func stage() {
	runtime.LockOSThread() // identity and namespaces are a thread's
	syscall.CloseOnExec(ProgramFD)
	syscall.CloseOnExec(StatusFD)
	program, err := readAll(ProgramFD)
	if err != nil {
		report("read program", err)
		return
	}
	for len(program) > 0 {
		var s Step
		s, program = decode(program)
		if err := perform(s); err != nil {
			report(describe(s), err)
			return
		}
	}
}

func readAll(fd int) ([]byte, error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return nil, err
	}
	b := make([]byte, st.Size)
	for at := 0; at < len(b); {
		n, err := syscall.Pread(fd, b[at:], int64(at))
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, syscall.EIO
		}
		at += n
	}
	return b, nil
}

// describe names a step in an error, without what is long or binary in it.
func describe(s Step) string {
	text := s.Op
	for i, a := range s.Args {
		if i == 2 || len(a) > 200 {
			break
		}
		text += " " + a
	}
	return text
}

func report(what string, err error) {
	// Nobody else could be told that this does not work.
	syscall.Write(StatusFD, []byte(failureText(what, err)))
}

// failureText is the number of an error, or 0, and what it was.
func failureText(what string, err error) string {
	number := 0
	if e, ok := err.(syscall.Errno); ok {
		number = int(e)
	}
	return Itoa(number) + " " + what + ": " + err.Error()
}

// self is this program, opened by "open-self".
var self = -1

// perform does one step.
func perform(s Step) error {
	a := s.Args
	switch s.Op {
	case "private": // no mount goes back to the parent namespace
		return syscall.Mount("none", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, "")
	case "hide-cgroup":
		// So that /proc/self/cgroup reads the same in every build. Nothing
		// depends on it, and a kernel may be without.
		syscall.Unshare(syscall.CLONE_NEWCGROUP)
		return nil
	case "loopback":
		return loopback()
	case "close-from": // every descriptor from this one on, when the builder is executed
		return closeFrom(uintptr(atoi(a[0])))
	case "hostname":
		if err := syscall.Sethostname([]byte(a[0])); err != nil {
			return err
		}
		return syscall.Setdomainname([]byte(a[1]))
	case "bind": // source, target
		return syscall.Mount(a[0], a[1], "", syscall.MS_BIND|syscall.MS_REC, "")
	case "read-only": // mount point
		return readOnly(a[0], atRecursive)
	case "read-only-top": // mount point, and not what is mounted below it
		return readOnly(a[0], 0)
	case "mount": // type, target, options
		return syscall.Mount(a[0], a[1], a[0], syscall.MS_NOSUID|syscall.MS_NODEV, a[2])
	case "devpts": // target, options
		return syscall.Mount("devpts", a[0], "devpts", syscall.MS_NOSUID|syscall.MS_NOEXEC, a[1])
	case "pivot": // new root
		return pivot(a[0])
	case "group": // id, and that there are no others
		return setGroup(atoi(a[0]), a[1:])
	case "user":
		return setUser(atoi(a[0]))
	case "umask":
		syscall.Umask(atoi(a[0]))
		return nil
	case "no-core":
		return noCore()
	case "personality": // bits to add
		return personality(uintptr(atoi(a[0])))
	case "no-new-privileges":
		return prctl(prSetNoNewPrivs, 1)
	case "die-with-parent":
		return prctl(syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL))
	case "own-sockets":
		return ownSockets()
	case "drop-capabilities":
		return dropCapabilities()
	case "seccomp": // program
		return seccomp([]byte(a[0]))
	case "chdir":
		return syscall.Chdir(a[0])
	case "end":
		syscall.Exit(0)
	case "kill-all": // that this user may
		return killAll()
	case "exec": // path, number of arguments, arguments, environment
		if err := defaultSignals(); err != nil {
			return err
		}
		n := atoi(a[1])
		return syscall.Exec(a[0], a[2:2+n], a[2+n:])
	case "open-self":
		var err error
		self, err = syscall.Open("/proc/self/exe", oPath|syscall.O_CLOEXEC, 0)
		return err
	case "exec-self": // arguments; there is no environment
		return execSelf(a)
	}
	return syscall.ENOSYS
}
