// Package early is what the program does when it is executed as the launcher of
// builders, or as one builder's first stage.
//
// It does it in its init, and imports nothing but syscall: Go initialises
// packages in the order of their paths as soon as what they import is ready,
// so this one comes before nearly all others, and a stage does not pay for
// the start of a large program.
//
// The launcher is one small process that lives as long as the service. It forks
// for it, which a large process does slowly where user namespaces are concerned.
// When the service dies the launcher kills what it launched.
//
// A stage reads a program, a list of steps, from descriptor [ProgramFD], and
// performs it inside its new namespaces; the last step executes the builder. It
// decides nothing.
package early

import "syscall"

// How the program is called to act as one of these.
const (
	LauncherName = "troupe:launcher"
	StageName    = "troupe:stage"
	BuiltinName  = "troupe:builtin"
)

// Descriptors of a stage.
const (
	ProgramFD = 3 // where it reads its program
	StatusFD  = 4 // where it says what went wrong; closed by a successful exec
	ExtraFD   = 5 // for the builder, if there is one
)

// LauncherFD is the launcher's socket.
const LauncherFD = 3

func init() {
	switch calledAs() {
	case LauncherName:
		launcher()
		syscall.Exit(0)
	case StageName:
		stage()
		syscall.Exit(1)
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
