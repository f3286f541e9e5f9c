package early

import (
	"syscall"
	"unsafe"
)

// network is the network namespace of the launcher's thread. To make one takes the
// kernel as long as all else that a stage is made of; so one lies ready for the next
// builder that is to have its own, made while the one before runs. Nobody has been in it.
type network struct {
	at    place
	host  int // a descriptor of the service's namespace; 0 before it is needed
	spare int // one of a namespace that lies ready, and that the thread is not in; 0 is none
}

// place is where the thread is.
type place uint8

const (
	inHost     place = iota
	inFresh          // nobody has been there, and its loopback device is up
	inBuilders       // a builder is, or was
	nowhere          // it may be in no other than it is
)

const ownNamespace = "/proc/thread-self/ns/net"

// spawn is [stage.spawn] with or without CLONE_NEWNET.
func (n *network) spawn(s *stage, flags uintptr, cgroup, status int) (pid int, err error) {
	if flags&syscall.CLONE_NEWNET == 0 {
		if err := n.goHome(); err != nil {
			return 0, err
		}
		return s.spawn(flags, cgroup, status)
	}
	if n.at == nowhere || !n.goFresh() {
		return s.spawn(flags, cgroup, status)
	}
	s.dropLoopback()
	if pid, err = s.spawn(flags&^syscall.CLONE_NEWNET, cgroup, status); err == nil {
		n.at = inBuilders
	}
	return pid, err
}

// goFresh goes to what lies ready, if anything does.
func (n *network) goFresh() bool {
	if n.at != inFresh && n.spare != 0 {
		if setNetwork(n.spare) == nil {
			n.at = inFresh
		}
		syscall.Close(n.spare)
		n.spare = 0
	}
	return n.at == inFresh
}

// goHome goes to the service's namespace.
func (n *network) goHome() error {
	if n.at == inHost || n.at == nowhere {
		return nil
	}
	if n.at == inFresh {
		if fd, err := openNetwork(); err == nil {
			n.spare = fd
		}
	}
	err := setNetwork(n.host)
	if err == nil {
		n.at = inHost
	}
	return err
}

// prepare lets one lie ready, after a launch with these flags.
func (n *network) prepare(flags uintptr) {
	if flags&syscall.CLONE_NEWNET == 0 || n.at == inFresh || n.at == nowhere || n.spare != 0 {
		return
	}
	if n.host == 0 {
		fd, err := openNetwork()
		if err != nil {
			n.at = nowhere
			return
		}
		n.host = fd
	}
	if _, _, e := syscall.Syscall(syscall.SYS_UNSHARE, syscall.CLONE_NEWNET, 0, 0); e != 0 { // who has no privilege may not
		n.leave()
	} else if n.at = inBuilders; raiseLoopback() == nil {
		n.at = inFresh
	} else {
		n.leave()
	}
}

// leave goes home for good: stages make their namespaces by themselves.
func (n *network) leave() {
	if n.goHome() == nil {
		n.at = nowhere
	}
}

// openNetwork opens the namespace that the thread is in.
func openNetwork() (fd int, err error) {
	return syscall.Open(ownNamespace, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
}

func setNetwork(fd int) error {
	_, _, e := syscall.RawSyscall(sysSetns(), uintptr(fd), syscall.CLONE_NEWNET, 0)
	return failure(e)
}

// raiseLoopback does what the step "loopback" does.
func raiseLoopback() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(loopbackUp())))
	syscall.Close(fd)
	return failure(e)
}

// ifreq is the kernel's struct of that name, with flags.
type ifreq struct {
	name  [syscall.IFNAMSIZ]byte
	flags uint16
	_     [22]byte
}

func loopbackUp() *ifreq {
	request := &ifreq{flags: syscall.IFF_UP | syscall.IFF_LOOPBACK | syscall.IFF_RUNNING}
	copy(request.name[:], "lo")
	return request
}

// loopback raises the device in the stage's own namespace.
func loopback(s *stage, _ []string) {
	s.loopback = len(s.calls)
	s.addAs(keeps, syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	s.addAs(onKept, syscall.SYS_IOCTL, 0, syscall.SIOCSIFFLAGS, s.hold(unsafe.Pointer(loopbackUp())))
	s.addAs(onKept, syscall.SYS_CLOSE)
}

const loopbackCalls = 3

// dropLoopback leaves out what loopback has added.
func (s *stage) dropLoopback() {
	if s.loopback > 0 {
		s.calls = append(s.calls[:s.loopback], s.calls[s.loopback+loopbackCalls:]...)
		s.loopback = 0
	}
}
