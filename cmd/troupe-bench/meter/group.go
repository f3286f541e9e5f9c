// Package meter measures a daemon from outside: the processor time and the memory
// of all its processes, and the system calls that they make.
package meter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"troupe/sandbox/linux"
)

// Processes are those of one daemon.
type Processes interface {
	// CPU is what all of them have used, also those that are gone.
	CPU() (time.Duration, error)
	// List has those that are.
	List() ([]int, error)
}

// Group is a cgroup of version 2: what is started in it, and all that this
// starts, stays in it.
type Group struct{ dir string }

// NewGroup makes a cgroup below the one that this process is in.
func NewGroup(name string) (*Group, error) {
	parent, err := linux.OwnCgroup()
	if err != nil {
		return nil, err
	}
	g := &Group{filepath.Join(parent, name)}
	return g, os.Mkdir(g.dir, 0o755)
}

// Open opens the cgroup's directory, for [syscall.SysProcAttr].
func (g *Group) Open() (*os.File, error) {
	return os.OpenFile(g.dir, unix.O_PATH|unix.O_DIRECTORY, 0)
}

// CPU implements [Processes].
func (g *Group) CPU() (time.Duration, error) {
	text, err := os.ReadFile(g.dir + "/cpu.stat")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if usec, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(usec), 10, 64)
			return time.Duration(n) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("read '%s/cpu.stat': no usage_usec", g.dir)
}

// List implements [Processes].
func (g *Group) List() (pids []int, err error) {
	err = g.each(func(dir string) error {
		text, err := os.ReadFile(dir + "/cgroup.procs")
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			return nil // it was removed meanwhile
		}
		for _, f := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(f)
			if err != nil {
				return err
			}
			pids = append(pids, pid)
		}
		return err
	})
	return pids, err
}

// each calls f with the directory of the cgroup and of all below it.
func (g *Group) each(f func(dir string) error) error {
	return filepath.WalkDir(g.dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.IsDir() {
			return err
		}
		return f(path)
	})
}

// Close kills what is in the cgroup, and removes it and all below it.
func (g *Group) Close() error {
	if err := os.WriteFile(g.dir+"/cgroup.kill", []byte("1"), 0); err != nil {
		return err
	}
	err := g.remove()
	for n := 0; errors.Is(err, unix.EBUSY) && n < 500; n++ {
		time.Sleep(10 * time.Millisecond) // until they are gone
		err = g.remove()
	}
	return err
}

// remove removes the cgroup, and before it all below it.
func (g *Group) remove() error {
	var dirs []string
	err := g.each(func(dir string) error {
		dirs = append(dirs, dir)
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		err = errors.Join(err, os.Remove(dirs[i]))
	}
	return err
}
