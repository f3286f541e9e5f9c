package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// call is one system call of the service that strace has seen succeed.
type call struct {
	begin, end int // lines of the log: others may be between
	name       string
	args       string // as strace writes them
	result     string
}

// traced are all calls that make, change, name or flush files, or start
// processes.
const traced = "open,openat,openat2,creat,close,mkdir,mkdirat,symlink,symlinkat,link,linkat,rename,renameat,renameat2," +
	"unlink,unlinkat,rmdir,write,writev,pwrite64,pwritev,pwritev2,truncate,ftruncate,copy_file_range,sendfile,splice," +
	"fsync,fdatasync,sync,syncfs,chmod,fchmod,fchmodat,clone,clone3,fork,vfork"

// trace runs a command of the service under strace.
func (s *testStore) trace(log string, args ...string) outcome {
	s.t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		lacking(s.t, "strace")
	}
	cmd := s.command(args...)
	cmd.Args = append([]string{"strace", "-f", "-y", "-qq", "-s", "1000000", "-e", "signal=none", "-e", "trace=" + traced, "-o", log, cmd.Path}, cmd.Args[1:]...)
	strace, err := exec.LookPath("strace")
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Path = strace
	return s.finish(cmd)
}

var (
	traceLine = regexp.MustCompile(`^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$`)
	traceEnd  = regexp.MustCompile(`^(.*)\) += (-?\d+|0x[0-9a-f]+)(<.*>)?(\(deleted\))?(?: [A-Z(].*)?$`)
)

// traceReader puts the lines of a log together.
type traceReader struct {
	open  map[string]call   // by thread, what is not over
	owner map[string]string // of a thread, the one that started it in its process
	calls map[string][]call // by thread
	first string
}

// readTrace reads the log of one service: what its threads did, and not what
// the processes did that it started.
func readTrace(t *testing.T, log string) (calls []call) {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	r := traceReader{map[string]call{}, map[string]string{}, map[string][]call{}, ""}
	for n, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if !r.line(n, line) {
			t.Fatalf("line of strace: %.300s", line)
		}
	}
	for thread, list := range r.calls {
		for r.owner[thread] != "" {
			thread = r.owner[thread]
		}
		if thread == r.first {
			calls = append(calls, list...)
		}
	}
	slices.SortFunc(calls, func(a, b call) int { return a.end - b.end })
	return calls
}

func (r *traceReader) line(n int, line string) (understood bool) {
	m := traceLine.FindStringSubmatch(line)
	if m == nil {
		return strings.Contains(line, "+++ exited") || strings.Contains(line, "+++ killed") || strings.Contains(line, "+++ superseded") ||
			strings.HasSuffix(line, "( <detached ...>") // by a process that was ending
	}
	thread := m[1]
	if r.first == "" {
		r.first = thread
	}
	c := call{begin: n, end: n, name: m[2] + m[3], args: m[4]}
	if m[2] != "" {
		c.begin, c.args = r.open[thread].begin, r.open[thread].args+m[4]
	}
	if head, unfinished := strings.CutSuffix(c.args, " <unfinished ...>"); unfinished {
		r.open[thread] = call{begin: c.begin, args: head}
		return true
	}
	e := traceEnd.FindStringSubmatch(c.args)
	if e == nil {
		return strings.HasSuffix(c.args, "= ?") // the thread ended within
	}
	c.args, c.result = e[1], e[2]+e[3]
	switch {
	case strings.HasPrefix(c.result, "-"):
	case strings.Contains(c.args, "CLONE_THREAD"):
		r.owner[c.result] = thread
	default:
		r.calls[thread] = append(r.calls[thread], c)
	}
	return true
}

// texts are the strings among the arguments.
func (c call) texts() (all []string) {
	for rest := c.args; ; {
		i := strings.IndexByte(rest, '"')
		if i < 0 {
			return all
		}
		j := i + 1
		for rest[j] != '"' {
			if rest[j] == '\\' {
				j++
			}
			j++
		}
		all = append(all, unescape(rest[i+1:j]))
		rest = rest[j+1:]
	}
}

var escapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'v': '\v', 'f': '\f', 'a': '\a', 'b': '\b', '"': '"', '\\': '\\'}

// unescape undoes how strace writes bytes: as in C, octal as short as it goes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if e, ok := escapes[s[i]]; ok {
			b.WriteByte(e)
			continue
		}
		j := i
		for j < len(s) && j < i+3 && s[j] >= '0' && s[j] <= '7' {
			j++
		}
		n, err := strconv.ParseUint(s[i:j], 8, 8)
		if err != nil {
			panic(fmt.Sprintf("escape in %q: %v", s, err))
		}
		b.WriteByte(byte(n))
		i = j - 1
	}
	return b.String()
}

var (
	tracedPlace = regexp.MustCompile(`(?:^|, )(?:AT_FDCWD|\d+)<([^>]*)>, "((?:[^"\\]|\\.)*)"`)
	tracedFile  = regexp.MustCompile(`^(\d+)<([^>]*)>`)
)

// places are the files that the call names by a directory and a name.
func (c call) places() (all []string) {
	for _, m := range tracedPlace.FindAllStringSubmatch(c.args, -1) {
		name := unescape(m[2])
		if !filepath.IsAbs(name) {
			name = filepath.Join(m[1], name)
		}
		all = append(all, name)
	}
	return all
}

// file is the descriptor that the call works on, and its file.
func (c call) file() (fd, path string) {
	if m := tracedFile.FindStringSubmatch(c.args); m != nil {
		return m[1], m[2]
	}
	return "", ""
}

// opened is the descriptor that the call gave, and its file.
func (c call) opened() (fd, path string) {
	return call{args: c.result}.file()
}
