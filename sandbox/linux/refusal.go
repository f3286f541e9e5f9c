package linux

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/sandbox/linux/early"
)

// setupError says why a stage could not be made or could not go on.
type setupError struct {
	text  string // begins with the step: "fork", "bind", "exec"
	errno syscall.Errno
}

func (e *setupError) Error() string { return e.text }
func (e *setupError) Unwrap() error { return e.errno }

// stageError is that a step failed.
func stageError(step string, errno syscall.Errno) error {
	return &setupError{text: step + ": " + errno.Error(), errno: errno}
}

// notWithLess ends the errors of sandboxes that the kernel does not give.
const notWithLess = "it is not built with less; 'sandbox = false' builds without a sandbox"

// notWithoutCgroup ends the errors of cgroups that cannot be had.
const notWithoutCgroup = "'use-cgroups = true' wants one; 'use-cgroups = false' builds without"

// explain says what a person can do about an error.
func explain(err error, wanted sandbox.Namespaces) error {
	var setup *setupError
	if !errors.As(err, &setup) || strings.HasPrefix(setup.text, "exec ") {
		return err
	}
	kinds := kindsOf(wanted)
	switch {
	case strings.HasPrefix(setup.text, early.ForkInCgroup) && len(kinds) > 0 && refusesNamespaces(setup.errno):
		return fmt.Errorf("make namespaces (%s) in a cgroup: %w%s (%s; %s)", strings.Join(kinds, ", "), setup.errno, reasons(kinds), notWithLess, notWithoutCgroup)
	case strings.HasPrefix(setup.text, early.ForkInCgroup):
		return fmt.Errorf("%w (%s)", err, notWithoutCgroup)
	case strings.HasPrefix(setup.text, "fork:") && len(kinds) > 0 && refusesNamespaces(setup.errno):
		return fmt.Errorf("make namespaces (%s): %w%s (%s)", strings.Join(kinds, ", "), setup.errno, reasons(kinds), notWithLess)
	case setup.errno == unix.EPERM:
		return fmt.Errorf("%w%s (the kernel refuses a part of the sandbox; %s)", err, reasons(kinds), notWithLess)
	}
	return err
}

// refusesNamespaces reports whether clone(2) says by an error that this process
// gets no such namespaces, now and later.
func refusesNamespaces(errno syscall.Errno) bool {
	return slices.Contains([]syscall.Errno{unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EUSERS, unix.EINVAL, unix.ENOSYS}, errno)
}

// kindsOf names namespaces as files in /proc/sys/user do.
func kindsOf(n sandbox.Namespaces) (kinds []string) {
	for _, k := range []struct {
		want bool
		name string
	}{{n.User, "user"}, {n.PID, "pid"}, {n.Mount, "mnt"}, {n.Net, "net"}, {n.IPC, "ipc"}, {n.UTS, "uts"}} {
		if k.want {
			kinds = append(kinds, k.name)
		}
	}
	return kinds
}

// reasons are the settings of this machine that explain a refusal.
func reasons(kinds []string) (text string) {
	for _, k := range kinds {
		text += reason("/proc/sys/user/max_"+k+"_namespaces", "0")
	}
	if slices.Contains(kinds, "user") {
		text += reason("/proc/sys/kernel/unprivileged_userns_clone", "0")
		text += reason("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")
	}
	return text
}

func reason(file, bad string) string {
	b, err := os.ReadFile(file)
	if err != nil || strings.TrimSpace(string(b)) != bad {
		return ""
	}
	return ", " + file + " is " + bad
}
