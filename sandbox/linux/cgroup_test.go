package linux_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/sandbox/linux"
)

// grouped starts a launcher whose builders have cgroups, and returns the
// directory of these.
func grouped(t testing.TB) (*linux.Launcher, string) {
	t.Helper()
	return groupedAs(t, true)
}

func groupedAs(t testing.TB, needed bool) (*linux.Launcher, string) {
	t.Helper()
	l, err := linux.NewLauncher()
	if err != nil {
		t.Fatal(err)
	}
	var dir string
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); dir != "" && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left (%v)", dir, err)
		}
	})
	l.UseCgroups(needed, func(err error) { t.Error(err) })
	if err := linux.Lack(l); err != nil {
		lacking(t, err)
	}
	dir = linux.CgroupsDir(l)
	return l, dir
}

// lacking ends a test of what this machine does not let us have.
func lacking(t testing.TB, err error) {
	t.Helper()
	t.Skipf("there are no cgroups for us: %v", err)
}

func place(t testing.TB) string {
	t.Helper()
	place, err := linux.CgroupPlace()
	if err != nil {
		lacking(t, err)
	}
	return place
}

// plain is a builder without a sandbox, under our own user.
func plain(script string) sandbox.Spec {
	return sandbox.Spec{Builder: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/bin:/usr/bin"}, Dir: "/", Identity: ownIdentity()}
}

// daemon is a script that a builder without a sandbox detaches from itself: it has
// another parent, another process group and another session.
type daemon struct{ dir string }

func newDaemon(t *testing.T, script string) daemon {
	t.Helper()
	d := daemon{t.TempDir()}
	d.write(t, script)
	if err := unix.Mkfifo(d.dir+"/go", 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// write says what it does.
func (d daemon) write(t *testing.T, script string) {
	t.Helper()
	text := fmt.Sprintf("echo $$ > %[1]s/new; mv %[1]s/new %[1]s/pid; %[2]s", d.dir, script)
	if err := os.WriteFile(d.dir+"/script", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start is the part of a builder's script that starts it.
func (d daemon) start() string {
	return fmt.Sprintf("setsid sh -c 'setsid sh %[1]s/script </dev/null >/dev/null 2>&1 &' & while ! test -e %[1]s/pid; do sleep 0.01; done; echo started; ", d.dir)
}

// wait is a part that goes on when proceed is called.
func (d daemon) wait() string { return "read x < " + d.dir + "/go; " }

func (d daemon) proceed(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(d.dir+"/go", []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
}

func (d daemon) pid(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(d.dir + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// handle holds on to a process, and ends it at the end of the test.
func handle(t *testing.T, pid int) (pidfd int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // where the test has failed
		unix.Close(fd)
	})
	if isDead(fd) {
		t.Fatal("it is dead already")
	}
	return fd
}

// isDead does not wait.
func isDead(pidfd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
	return err == nil && n == 1
}

// noneLeft looks that the cgroup of no builder is left.
func noneLeft(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// What has left the process group and the session of a builder without a sandbox
// is dead when the builder has ended. Without a cgroup nobody would find it.
func TestNothingOutlivesTheCgroup(t *testing.T) {
	l, dir := grouped(t)
	d := newDaemon(t, "sleep 1000")
	p, err := l.Start(plain(d.start()+d.wait()), linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	awaitLine(t, p, "started")
	left := handle(t, d.pid(t))
	d.proceed(t)
	if e := p.Wait(); e.Code != 0 || e.Signal != 0 {
		t.Errorf("%+v", e)
	}
	if !isDead(left) {
		t.Error("what the builder has detached outlives it")
	}
	drain(t, p)
	noneLeft(t, dir)
}

func TestKillInACgroup(t *testing.T) {
	l, dir := grouped(t)
	d := newDaemon(t, "sleep 1000")
	p, err := l.Start(plain(d.start()+"sleep 1000"), linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	awaitLine(t, p, "started")
	left := handle(t, d.pid(t))
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if e := p.Wait(); e.Signal != 9 {
		t.Errorf("%+v", e)
	}
	if !isDead(left) {
		t.Error("what the builder has detached outlives it")
	}
	drain(t, p)
	noneLeft(t, dir)
	if err := p.Kill(); err != nil {
		t.Errorf("one that has ended: %v", err)
	}
}

// The time of processes that nobody has waited for is counted.
func TestAllTimeIsCounted(t *testing.T) {
	l, _ := grouped(t)
	// It goes on until it has used 20 ticks, of which a second has 100.
	busy := "used=0; while test $used -lt 20; do read x < /proc/$$/stat; set -- $x; used=$((${14} + ${15})); done; "
	d := newDaemon(t, "")
	d.write(t, busy+"echo > "+d.dir+"/go; sleep 1000")
	p, err := l.Start(plain(d.start()+d.wait()), linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	drain(t, p)
	if e := p.Wait(); e.Code != 0 || e.User+e.System < 150*time.Millisecond || e.PeakMemory == 0 {
		t.Errorf("%+v", e)
	}
}

// Builders cannot fill the machine with cgroups, nor make what we cannot remove.
func TestABuilderMakesNoCgroups(t *testing.T) {
	l, dir := grouped(t)
	p, err := l.Start(plain(fmt.Sprintf("cd %s/*/ && ls cgroup.procs && mkdir sub || echo refused", dir)), linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if out := drain(t, p); !strings.HasPrefix(out, "cgroup.procs") || !strings.HasSuffix(out, "refused\n") {
		t.Error(out)
	}
	p.Wait()
	noneLeft(t, dir)
}

// Neither the number of builders at a time nor that they cannot be executed
// matters.
func TestCgroupsAreRemoved(t *testing.T) {
	l, dir := grouped(t)
	errs := make(chan error)
	for i := range 50 {
		go func() {
			spec := plain("exit 0")
			if i%10 == 0 {
				spec.Builder = "/nonexistent"
			}
			p, err := l.Start(spec, linux.Places{}, nil)
			if err == nil {
				p.Wait()
				err = p.Output.Close()
			} else if i%10 == 0 && errors.Is(err, syscall.ENOENT) {
				err = nil
			}
			errs <- err
		}()
	}
	for range 50 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	noneLeft(t, dir)
}

// What a cgroup costs is the difference from BenchmarkSandbox/0-inputs.
func BenchmarkCgroup(b *testing.B) {
	l, _ := grouped(b)
	s, places := boxed(b, "exit 0")
	for b.Loop() {
		p, err := l.Start(s, places, nil)
		if err != nil {
			b.Fatal(err)
		}
		p.Wait()
		p.Output.Close()
	}
}

// A builder sees no cgroups, whose names differ from build to build.
func TestTheCgroupIsHidden(t *testing.T) {
	l, _ := grouped(t)
	s, places := boxed(t, "cat /proc/self/cgroup")
	p, err := l.Start(s, places, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := drain(t, p)
	p.Wait()
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(line, ":/\n") {
			t.Error(line)
		}
	}
	if !strings.Contains(out, "0::/\n") {
		t.Error(out)
	}
}
