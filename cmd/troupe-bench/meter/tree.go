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
)

// Tree is a process that somebody else has started, and its descendants. Its
// times are counted in ticks of 10 ms.
type Tree struct{ Root int }

// stat is what we need of /proc/PID/stat.
type stat struct {
	parent int
	used   time.Duration // with the children that were waited for
}

// tick is USER_HZ, which is the same on all of Linux.
const tick = 10 * time.Millisecond

func readStat(pid int) (s stat, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	return parseStat(string(text))
}

func parseStat(line string) (s stat, err error) {
	_, rest, _ := strings.Cut(line[strings.LastIndexByte(line, ')')+1:], " ")
	fields := strings.Fields(rest) // from the state on, the third of them all
	if len(fields) < 15 {
		return s, fmt.Errorf("read '%s': not the status of a process", line)
	}
	s.parent, err = strconv.Atoi(fields[1])
	for _, f := range fields[11:15] {
		n, e := strconv.Atoi(f)
		s.used += time.Duration(n) * tick
		err = errors.Join(err, e)
	}
	return s, err
}

// Used is the processor time in a line of /proc/PID/stat, with that of the children
// that were waited for.
func Used(line string) (time.Duration, error) {
	s, err := parseStat(line)
	return s.used, err
}

// all are the processes of the tree that are.
func (t Tree) all() (map[int]stat, error) {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	every := map[int]stat{}
	for _, n := range names {
		pid, err := strconv.Atoi(filepath.Base(n))
		if err != nil {
			return nil, err
		}
		s, err := readStat(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return nil, err
		}
		every[pid] = s
	}
	in := map[int]stat{}
	for pid, s := range every {
		for at := pid; at > 0; at = every[at].parent {
			if at == t.Root {
				in[pid] = s
				break
			}
		}
	}
	return in, nil
}

// CPU implements [Processes].
func (t Tree) CPU() (used time.Duration, err error) {
	all, err := t.all()
	for _, s := range all {
		used += s.used
	}
	return used, err
}

// List implements [Processes].
func (t Tree) List() (pids []int, err error) {
	all, err := t.all()
	for pid := range all {
		pids = append(pids, pid)
	}
	return pids, err
}
