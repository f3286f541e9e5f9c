// Package early is what the program does when it is executed as the launcher of
// builders.
//
// It does it in its init, and imports nothing but syscall: Go initialises
// packages in the order of their paths as soon as what they import is ready,
// so this one comes before nearly all others, and the launcher does not pay for
// the start of a large program, nor for its memory.
//
// The launcher is one small process that lives as long as the service. It forks
// for it, which a large process does slowly where user namespaces are concerned.
// When the service dies the launcher kills what it launched.
//
// What it forks is a stage: it performs a program, a list of steps, inside its
// new namespaces; the last step executes the builder. It decides nothing. The
// program is made into a list of system calls before the fork, and all that the
// stage does is to make one after the other: it runs in the memory of a process of
// Go, or in a copy of it, and nothing of Go may be used there.
package early

import "syscall"

// How the program is called to act as one of these.
const (
	LauncherName = "troupe:launcher"
	BuiltinName  = "troupe:builtin"
)

// ExtraFD is a builder's descriptor beside input and output, if it has one.
const ExtraFD = 3

// LauncherFD is the launcher's socket.
const LauncherFD = 3

func init() {
	if calledAs() == LauncherName {
		launcher()
		syscall.Exit(0)
	}
}

// calledAs is the program's own name as it was executed. The os package would
// know it, but it is not there yet.
func calledAs() string {
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	var buf [len(LauncherName) + 1]byte
	n, err := syscall.Read(fd, buf[:])
	syscall.Close(fd)
	if err != nil {
		return ""
	}
	for i := range n {
		if buf[i] == 0 {
			return string(buf[:i])
		}
	}
	return ""
}
