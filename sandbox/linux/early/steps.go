package early

import (
	"syscall"
	"unsafe"
)

// meanings are the steps that there are, as system calls. The comments say what
// the words after a step's name are.
var meanings = map[string]func(*stage, []string){
	"private":       private,
	"hide-cgroup":   hideCgroup,
	"loopback":      loopback,
	"close-from":    closeFrom,
	"hostname":      hostname,
	"bind":          bind,
	"read-only":     func(s *stage, a []string) { s.readOnly(a[0], atRecursive) }, // mount point
	"read-only-top": func(s *stage, a []string) { s.readOnly(a[0], 0) },           // mount point, and not what is mounted below it
	"writable-top":  func(s *stage, a []string) { s.setMount(a[0], 0, &mountAttr{clear: mountAttrRDOnly}) },
	"mount": func(s *stage, a []string) { // type, target, options
		s.mount(a[0], a[1], a[0], syscall.MS_NOSUID|syscall.MS_NODEV, a[2])
	},
	"devpts": func(s *stage, a []string) { // target, options
		s.mount("devpts", a[0], "devpts", syscall.MS_NOSUID|syscall.MS_NOEXEC, a[1])
	},
	"pivot":             pivot,
	"group":             group,
	"user":              func(s *stage, a []string) { s.add(syscall.SYS_SETRESUID, id(a[0]), id(a[0]), id(a[0])) },
	"umask":             func(s *stage, a []string) { s.add(syscall.SYS_UMASK, id(a[0])) },
	"no-core":           func(s *stage, _ []string) { s.noCore() },
	"personality":       func(s *stage, a []string) { s.add(syscall.SYS_PERSONALITY, persona()|id(a[0])) }, // bits to add
	"no-new-privileges": func(s *stage, _ []string) { s.add(syscall.SYS_PRCTL, prSetNoNewPrivs, 1) },
	"die-with-parent":   func(s *stage, _ []string) { s.dieWithParent() },
	"own-sockets":       ownSockets,
	"drop-capabilities": dropCapabilities,
	"seccomp":           seccomp,
	"chdir":             func(s *stage, a []string) { s.add(syscall.SYS_CHDIR, s.text(a[0])) },
	"end":               func(s *stage, _ []string) { s.add(syscall.SYS_EXIT_GROUP, 0) },
	"kill-all":          killAll,
	"exec":              execute,
	"exec-self":         executeSelf,
}

// id is a number that is not negative.
func id(s string) uintptr { return uintptr(atoi(s)) }

// private lets no mount go back to the parent namespace.
func private(s *stage, _ []string) {
	s.mount("none", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, "")
}

// hideCgroup lets /proc/self/cgroup read the same in every build. Nothing
// depends on it, and a kernel may be without.
func hideCgroup(s *stage, _ []string) {
	s.addAs(tried, syscall.SYS_UNSHARE, syscall.CLONE_NEWCGROUP)
}

// closeFrom closes every descriptor from this one on, when the builder is
// executed.
func closeFrom(s *stage, a []string) {
	s.add(sysCloseRange, id(a[0]), 1<<31-1, closeOnExec)
}

func hostname(s *stage, a []string) { // name, domain
	s.add(syscall.SYS_SETHOSTNAME, s.text(a[0]), uintptr(len(a[0])))
	s.add(syscall.SYS_SETDOMAINNAME, s.text(a[1]), uintptr(len(a[1])))
}

func bind(s *stage, a []string) { // source, target
	s.mount(a[0], a[1], "", syscall.MS_BIND|syscall.MS_REC, "")
}

func (s *stage) mount(source, target, kind string, flags uintptr, options string) {
	s.add(syscall.SYS_MOUNT, s.text(source), s.text(target), s.text(kind), flags, s.text(options))
}

// readOnly adds to the flags of a mount, as some of those it has may be locked.
func (s *stage) readOnly(target string, flags uintptr) {
	s.setMount(target, flags, &mountAttr{set: mountAttrRDOnly})
}

// mountAttr is the kernel's struct mount_attr.
type mountAttr struct{ set, clear, propagation, userns uint64 }

func (s *stage) setMount(target string, flags uintptr, attr *mountAttr) {
	here := workingDir
	s.add(sysMountSetattr, uintptr(here), s.text(target), flags, s.hold(unsafe.Pointer(attr)), unsafe.Sizeof(*attr))
}

// pivot makes a directory, which is a mount point, the root, and leaves nothing
// of the old one.
func pivot(s *stage, a []string) {
	here := s.text(".")
	s.add(syscall.SYS_CHDIR, s.text(a[0]))
	s.add(syscall.SYS_PIVOT_ROOT, here, here) // the old root is now on top of the new one
	s.add(syscall.SYS_UMOUNT2, here, syscall.MNT_DETACH)
	s.add(syscall.SYS_CHDIR, s.text("/"))
}

func group(s *stage, a []string) { // id; if there is more: what the other groups are, where "" is none
	if others := a[1:]; len(others) > 0 {
		groups := make([]uint32, 0, len(others))
		for _, g := range others {
			if g != "" {
				groups = append(groups, uint32(atoi(g)))
			}
		}
		s.add(syscall.SYS_SETGROUPS, uintptr(len(groups)), s.hold(unsafe.Pointer(unsafe.SliceData(groups))))
	}
	s.add(syscall.SYS_SETRESGID, id(a[0]), id(a[0]), id(a[0]))
}

func (s *stage) noCore() {
	limit := &syscall.Rlimit{}
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, limit); err != nil {
		s.err = err
	}
	limit.Cur = 0
	s.limit(syscall.RLIMIT_CORE, limit)
}

func (s *stage) limit(resource uintptr, l *syscall.Rlimit) {
	s.add(syscall.SYS_PRLIMIT64, 0, resource, s.hold(unsafe.Pointer(l)), 0)
}

func (s *stage) dieWithParent() {
	s.add(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL))
}

// ownSockets makes a Landlock domain from which abstract sockets that others have
// made cannot be reached.
func ownSockets(s *stage, _ []string) {
	rules := &struct{ files, net, scoped uint64 }{scoped: scopeAbstractSockets}
	s.addAs(keeps, sysLandlockCreateRuleset, s.hold(unsafe.Pointer(rules)), unsafe.Sizeof(*rules), 0)
	s.addAs(onKept, sysLandlockRestrictSelf)
	s.addAs(onKept, syscall.SYS_CLOSE)
}

// dropCapabilities gives up those over the stage's own user namespace.
func dropCapabilities(s *stage, _ []string) {
	header := &struct{ version, pid uint32 }{version: capabilities}
	none := &[2]struct{ effective, permitted, inheritable uint32 }{}
	s.add(syscall.SYS_CAPSET, s.hold(unsafe.Pointer(header)), s.hold(unsafe.Pointer(none)))
}

// seccomp installs the launcher's filter, unless the thread that forks has it.
func seccomp(s *stage, _ []string) {
	s.filtered = s.filter.inherited
	switch {
	case s.filter == (filter{}):
		s.err = syscall.EINVAL
	case !s.filtered:
		s.add(syscall.SYS_PRCTL, prSetSeccomp, seccompFilter, uintptr(unsafe.Pointer(s.filter.program)))
	}
}

// killAll kills every process of this user but this one. The kernel does it in
// one pass during which nothing forks.
func killAll(s *stage, _ []string) {
	everybody := -1
	s.addAs(whoeverIs, syscall.SYS_KILL, uintptr(everybody), uintptr(syscall.SIGKILL))
	s.add(syscall.SYS_EXIT_GROUP, 0)
}

func execute(s *stage, a []string) { // path, number of arguments, arguments, environment
	n := atoi(a[1])
	s.defaultSignals()
	s.add(syscall.SYS_EXECVE, s.text(a[0]), s.texts(a[2:2+n]), s.texts(a[2+n:]))
}

// executeSelf executes this program, by its descriptor.
func executeSelf(s *stage, a []string) { // arguments; there is no environment
	s.defaultSignals()
	s.add(sysExecveat(), uintptr(self), s.text(""), s.texts(a), s.texts(nil), atEmptyPath)
}

// defaultSignals lets no signal be ignored because the service ignores it: that
// alone would survive an exec. Then it lets them come.
func (s *stage) defaultSignals() {
	for _, signal := range ignored {
		action := s.hold(unsafe.Pointer(&[4]uint64{})) // struct sigaction: the default, no flags, nothing blocked
		s.add(syscall.SYS_RT_SIGACTION, signal, action, 0, sigsetBytes)
	}
	s.add(syscall.SYS_RT_SIGPROCMASK, sigSetmask, s.hold(unsafe.Pointer(new(uint64))), 0, sigsetBytes)
}

// ignored are the signals that this process was started to ignore, and Go lets it.
var ignored []uintptr

func ignoredSignals() (all []uintptr) {
	for signal := uintptr(1); signal <= signals; signal++ {
		var action [4]uint64 // the first word is the handler; 1 is that it is ignored
		_, _, e := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, signal, 0, uintptr(unsafe.Pointer(&action)), sigsetBytes, 0, 0)
		if e == 0 && action[0] == 1 {
			all = append(all, signal)
		}
	}
	return all
}
