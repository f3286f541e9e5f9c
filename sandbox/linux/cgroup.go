package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"troupe/sandbox/linux/early"
)

// cgroup is that of one builder. A nil one is none.
type cgroup struct {
	of   *cgroups
	path string

	mu   sync.Mutex // guards over
	over bool       // the directory may be gone
}

// kill kills all that is in there. New processes of it cannot escape.
func (g *cgroup) kill() error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return nil
	}
	return killCgroup(g.path)
}

// end kills what the builder has left, notes what all of it has used, and removes
// the cgroup. Where there is none it does nothing.
func (g *cgroup) end(e *Exit) {
	if g == nil {
		return
	}
	err := emptyCgroup(g.path, killPatience)
	e.account(fileText(g.path, "cpu.stat"), fileText(g.path, "memory.peak"))
	g.remove(err)
}

// discard removes the cgroup of a builder that has not been started, as far as we
// have heard.
func (g *cgroup) discard() {
	if g != nil {
		g.remove(emptyCgroup(g.path, killPatience))
	}
}

// remove removes the cgroup, which is empty unless there was an error before.
func (g *cgroup) remove(before error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	err := errors.Join(before, early.RemoveCgroup(g.path))
	if err != nil {
		g.of.warn(fmt.Errorf("remove a builder's cgroup: %w", err))
	}
}

// killPause is how long a kill of a cgroup may be without effect until it is
// tried again: old kernels miss a process that is just being made.
const killPause = 100 * time.Millisecond

// emptyCgroup kills what runs in a cgroup and below, and returns when it has
// ended. One that is gone is empty.
func emptyCgroup(path string, patience time.Duration) error {
	fd, err := unix.Open(filepath.Join(path, "cgroup.events"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return unlessGone(&os.PathError{Op: "open", Path: path + "/cgroup.events", Err: err})
	}
	defer unix.Close(fd)
	for deadline := time.Now().Add(patience); ; {
		populated, err := isPopulated(fd)
		if err != nil || !populated {
			return unlessGone(err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes in %s do not end", path)
		}
		if err := killCgroup(path); err != nil {
			return unlessGone(err)
		}
		// The kernel tells a change since the last reading.
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, int(killPause.Milliseconds()))
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
	}
}

func isPopulated(events int) (bool, error) {
	var text [256]byte
	n, err := unix.Pread(events, text[:], 0)
	if err != nil {
		return false, os.NewSyscallError("read cgroup.events", err)
	}
	return counter(string(text[:n]), "populated") != 0, nil
}

func killCgroup(path string) error {
	return unlessGone(setAttribute(path, "cgroup.kill", "1"))
}

// setAttribute writes to a file of a cgroup. It makes none: the kernel would
// refuse that with another error than that it is gone.
func setAttribute(dir, name, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// unlessGone forgives that a cgroup has been removed: whatever was in there is
// dead.
func unlessGone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// account replaces what the kernel has counted for the builder, and those of its
// children that it has waited for, by what it has counted for all.
func (e *Exit) account(cpu, peak string) {
	if strings.Contains(cpu, "user_usec ") && strings.Contains(cpu, "system_usec ") {
		e.User = time.Duration(counter(cpu, "user_usec")) * time.Microsecond
		e.System = time.Duration(counter(cpu, "system_usec")) * time.Microsecond
	}
	if n, err := strconv.ParseUint(strings.TrimSpace(peak), 10, 64); err == nil && n > 0 {
		e.PeakMemory = n
	}
}

// counter is a number in a text of lines "NAME NUMBER", or 0.
func counter(text, name string) uint64 {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 64) // it is 0 where it is none
			return n
		}
	}
	return 0
}

// fileText is empty where a cgroup has no such file.
func fileText(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return string(b)
}
