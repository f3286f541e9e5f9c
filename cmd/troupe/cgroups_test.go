package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// plainStore is a store whose builders run without a sandbox and under our own
// user: only a cgroup knows what belongs to them.
type plainStore struct {
	*testStore
	work string
}

func newPlainStore(t *testing.T) plainStore {
	t.Helper()
	work := tempDir(t)
	s := newTestStore(t, work, "")
	s.env = append(s.env, "NIX_STORE_DIR="+work+"/store", "NIX_STATE_DIR="+work+"/state", "NIX_LOG_DIR="+work+"/log")
	return plainStore{s, work}
}

// build is a command that builds a script which has the variable work, with
// use-cgroups set to a value unless that is empty.
func (s plainStore) build(name, mode, script string) *exec.Cmd {
	s.t.Helper()
	text, err := json.Marshal(map[string]any{"name": name, "version": 4, "system": platform(), "builder": "/bin/sh", "args": []string{"-c", script},
		"env": map[string]string{"PATH": "/bin:/usr/bin", "work": s.work}, "outputs": map[string]any{"out": map[string]any{}},
		"inputs": map[string]any{"srcs": []string{}, "drvs": map[string]any{}}})
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.work, name+".json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		s.t.Fatal(err)
	}
	args := []string{"build", "--option", "sandbox", "false", "--option", "build-users-group", ""}
	if mode != "" {
		args = append(args, "--option", "use-cgroups", mode)
	}
	cmd := exec.Command("troupe", append(args, file)...)
	cmd.Env = s.env
	return cmd
}

// needCgroups ends a test where this machine lets us have none.
func (s plainStore) needCgroups() {
	s.t.Helper()
	o := s.finish(s.build("probe", "true", "echo > $out"))
	if strings.Contains(o.stderr, "cgroup") {
		s.t.Skip(o.stderr)
	}
	if o.code != 0 {
		s.t.Fatal(o.stderr)
	}
}

// lastBuild is what the store knows of a build.
func (s plainStore) lastBuild(name string) validity.Build {
	s.t.Helper()
	found, err := filepath.Glob(s.work + "/store/*-" + name + ".drv")
	if err != nil || len(found) != 1 {
		s.t.Fatalf("%q %v", found, err)
	}
	drv, err := storepath.ParseBase(filepath.Base(found[0]))
	if err != nil {
		s.t.Fatal(err)
	}
	db, err := validity.Open(databaseDir(location{StateDir: s.work + "/state"}), validity.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	b, ok, err := db.LastBuild(drv)
	if err != nil || !ok {
		s.t.Fatal(ok, err)
	}
	return b
}

// What the store remembers of a build is what all of its processes have used,
// also those that it has not waited for.
func TestUseOfAllProcessesIsRecorded(t *testing.T) {
	s := newPlainStore(t)
	s.needCgroups()
	// The busy one goes on until it has used 20 ticks, of which a second has 100.
	const script = `mkfifo $work/ready
(setsid sh -c 'used=0; while test $used -lt 20; do read x < /proc/$$/stat; set -- $x; used=$((${14} + ${15})); done
	echo > $work/ready; exec sleep 1000' </dev/null >/dev/null 2>&1 &)
read x < $work/ready
echo > $out`
	for _, mode := range []string{"", "true"} {
		name := "busy" + mode
		if o := s.finish(s.build(name, mode, script)); o.code != 0 || strings.Contains(o.stderr, "cgroup") {
			t.Fatal(o.stderr)
		}
		if b := s.lastBuild(name); b.UserCPU+b.SystemCPU < 150*time.Millisecond || b.PeakMemory == 0 {
			t.Errorf("use-cgroups %q: %+v", mode, b)
		}
		if err := os.Remove(s.work + "/ready"); err != nil {
			t.Fatal(err)
		}
	}
}

// An interrupt kills also what a builder has detached from itself, and leaves no
// cgroup.
func TestInterruptKillsTheCgroup(t *testing.T) {
	s := newPlainStore(t)
	s.needCgroups()
	said := s.work + "/said"
	if err := unix.Mkfifo(said, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := s.build("slow", "", `(setsid sh -c 'echo $$ > $work/said; exec sleep 1000' </dev/null >/dev/null 2>&1 &); sleep 1000`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() }) // where the test has failed
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	detached, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(detached)
	t.Cleanup(func() { unix.PidfdSendSignal(detached, unix.SIGKILL, nil, 0) })
	dirs := cgroupDirs(t, pid)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Error(err)
	}
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(detached), Events: unix.POLLIN}}, 0); n != 1 || err != nil {
		t.Error("what the builder has detached outlives the command")
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left (%v)", dir, err)
		}
	}
}

// cgroupDirs are where a process's cgroup of version 2, and the one above, are
// seen.
func cgroupDirs(t *testing.T, pid int) (dirs []string) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, own, _ := strings.Cut(string(text), "0::")
	own = strings.TrimSpace(own)
	for _, mount := range cgroupMounts(t) {
		if dir := mount + own; exists(dir) {
			dirs = append(dirs, dir, filepath.Dir(dir))
		}
	}
	if len(dirs) == 0 || !strings.Contains(own, "/troupe-builds-") {
		t.Fatalf("the builder is in %s, seen as %q", own, dirs)
	}
	return dirs
}

func cgroupMounts(t *testing.T) (places []string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[2] == "cgroup2" {
			places = append(places, f[1])
		}
	}
	return places
}

// Where there are no cgroups for us, builds go on without them, and nothing is
// said; but not for those who want them.
func TestWithoutCgroups(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	s := newPlainStore(t)
	s.needCgroups()
	for _, c := range []struct {
		name, reason string
		take         func(place string) error
	}{
		{"read-only", "read-only file system", func(place string) error {
			return unix.Mount("", place, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
		}},
		{"covered", "is not a cgroup", func(place string) error { return unix.Mount("none", place, "tmpfs", 0, "") }},
		{"absent", "no mounted file system has the cgroup", func(place string) error {
			return errors.Join(unix.Unmount(place, 0), unix.Unmount(place, 0))
		}},
	} {
		for _, place := range cgroupMounts(t) {
			if err := c.take(place); err != nil {
				t.Fatal(err)
			}
		}
		for _, mode := range []string{"", "false"} {
			if o := s.finish(s.build(c.name+mode, mode, "echo > $out")); o.code != 0 || strings.Contains(o.stderr, "cgroup") {
				t.Errorf("%s, use-cgroups %q: exit code %d: %s", c.name, mode, o.code, o.stderr)
			}
		}
		o := s.finish(s.build(c.name+"-wanted", "true", "echo > $out"))
		if o.code != exitFailure || !strings.Contains(o.stderr, c.reason) || !strings.Contains(o.stderr, "use-cgroups = true") {
			t.Errorf("%s, use-cgroups true: exit code %d: %s", c.name, o.code, o.stderr)
		}
	}
}

// A builder is in no cgroup of its own where that is turned off.
func TestCgroupsAreOff(t *testing.T) {
	s := newPlainStore(t)
	for mode, want := range map[string]bool{"false": false, "true": true} {
		if want {
			s.needCgroups()
		}
		name := "where-" + mode
		if o := s.finish(s.build(name, mode, "cat /proc/self/cgroup > $out")); o.code != 0 {
			t.Fatal(o.stderr)
		}
		found, err := filepath.Glob(s.work + "/store/*-" + name)
		if err != nil || len(found) != 1 {
			t.Fatalf("%q %v", found, err)
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(text), "/troupe-builds-"); got != want {
			t.Errorf("use-cgroups = %s: %s", mode, text)
		}
	}
}

// A daemon's builders are in cgroups too, which go when it ends.
func TestCgroupsOfADaemon(t *testing.T) {
	if _, err := exec.LookPath("nix-build"); err != nil {
		lacking(t, "nix-build")
	}
	s := newPlainStore(t)
	s.needCgroups()
	daemon := exec.Command("troupe", "daemon", "--option", "sandbox", "false", "--option", "build-users-group", "")
	daemon.Env = s.env
	said, err := daemon.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { daemon.Process.Kill() }) // where the test has failed
	lines := bufio.NewScanner(said)
	for lines.Scan() && !strings.Contains(lines.Text(), "clients may come") {
	}
	client := exec.Command("nix-build", "--no-out-link", "-E", fmt.Sprintf(
		`derivation { name = "where"; system = %q; builder = "/bin/sh"; args = [ "-c" "/bin/cat /proc/self/cgroup > $out" ]; }`, platform()))
	client.Env = append(s.env, "NIX_REMOTE=daemon", "NIX_PATH=")
	o := s.finish(client)
	text, err := os.ReadFile(strings.TrimSpace(o.stdout))
	if err != nil {
		t.Fatal(err, o.stderr)
	}
	if want := fmt.Sprintf("/troupe-builds-%d-", daemon.Process.Pid); !strings.Contains(string(text), want) {
		t.Errorf("the builder was in %s", text)
	}
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := daemon.Wait(); err != nil {
		t.Error(err)
	}
	for _, mount := range cgroupMounts(t) {
		left, err := filepath.Glob(mount + fmt.Sprintf("/troupe-builds-%d-*", daemon.Process.Pid))
		if err != nil || len(left) > 0 {
			t.Errorf("%q is left (%v)", left, err)
		}
	}
}
