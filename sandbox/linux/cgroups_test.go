package linux_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/sandbox/linux"
	"troupe/sandbox/linux/early"
)

// Where the kernel makes no process in a cgroup, the builder runs without, unless
// cgroups are needed.
func TestTheKernelRefusesACgroup(t *testing.T) {
	for _, needed := range []bool{false, true} {
		t.Run(fmt.Sprint("needed ", needed), func(t *testing.T) { tryWithThreads(t, needed) })
	}
}

// tryWithThreads starts builders beside a cgroup of threads, where the kernel lets
// no whole processes be.
func tryWithThreads(t *testing.T, needed bool) {
	l, dir := groupedAs(t, needed)
	threads := dir + "/threads"
	if err := os.Mkdir(threads, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(threads+"/cgroup.type", []byte("threaded"), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		tryWithoutCgroup(t, l, needed)
	}
	if err := os.Remove(threads); err != nil {
		t.Error(err)
	}
	noneLeft(t, dir)
}

// tryWithoutCgroup starts a builder where there are no cgroups.
func tryWithoutCgroup(t *testing.T, l *linux.Launcher, needed bool) {
	t.Helper()
	p, err := l.Start(plain("echo well"), linux.Places{}, nil)
	if needed {
		if err == nil {
			t.Errorf("it ran: %q", drain(t, p))
		} else if !strings.Contains(err.Error(), "cgroup") || !strings.Contains(err.Error(), "use-cgroups") {
			t.Errorf("the error does not say why: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if out := drain(t, p); out != "well\n" {
		t.Error(out)
	}
	if e := p.Wait(); e.Code != 0 || e.PeakMemory == 0 {
		t.Errorf("%+v", e)
	}
}

// Where only the launcher is killed, the service ends what builders have detached,
// and removes the cgroups.
func TestTheLauncherOfCgroupsDies(t *testing.T) {
	grouped(t) // or there is nothing to test
	l, err := linux.NewLauncher()
	if err != nil {
		t.Fatal(err)
	}
	l.UseCgroups(true, func(err error) { t.Error(err) })
	d := newDaemon(t, "sleep 1000")
	p, err := l.Start(plain(d.start()+"sleep 1000"), linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	awaitLine(t, p, "started")
	left := handle(t, d.pid(t))
	if err := syscall.Kill(parent(t, p.PID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.Wait()
	if !isDead(left) {
		t.Error("what the builder has detached outlives the launcher")
	}
	drain(t, p)
	dir := linux.CgroupsDir(l)
	if err := l.Close(); err == nil {
		t.Error("closing does not say that the launcher was killed")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left (%v)", dir, err)
	}
}

// What a service has left that was killed with its launcher ends when another one
// begins. What belongs to a living one does not.
func TestStaleCgroups(t *testing.T) {
	place := place(t)
	left, lock := otherDir(t, place)
	living, _ := otherDir(t, place)
	dead, alive := sleeper(t, left), sleeper(t, living)
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	grouped(t)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) || !isDead(dead) {
		t.Errorf("a dead service's cgroup is left (%v), its process dead: %v", err, isDead(dead))
	}
	if _, err := os.Stat(living); err != nil || isDead(alive) {
		t.Errorf("a living service's cgroup is gone (%v), its process dead: %v", err, isDead(alive))
	}
}

// otherDir is another service's directory, with a cgroup named 1. That service is
// dead when the lock is closed, which happens at the end of the test if not before.
func otherDir(t *testing.T, place string) (dir string, lock *os.File) {
	t.Helper()
	dir, err := os.MkdirTemp(place, linux.CgroupsPrefix+"test-")
	if err != nil {
		lacking(t, err)
	}
	t.Cleanup(func() {
		if err := early.RemoveCgroup(dir); err != nil {
			t.Error(err)
		}
	})
	if lock, err = os.Open(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/1", 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, lock
}

// sleeper runs in a cgroup below a service's directory.
func sleeper(t *testing.T, dir string) (pidfd int) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	startIn(t, cmd, dir+"/1")
	t.Cleanup(func() {
		cmd.Process.Kill() // it may be dead
		cmd.Wait()
	})
	return handle(t, cmd.Process.Pid)
}

func startIn(t *testing.T, cmd *exec.Cmd, cgroup string) {
	t.Helper()
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := cmd.Start(); err != nil {
		lacking(t, err)
	}
}

// A service in the subgroup of a systemd unit that is delegated to it makes its
// cgroups beside that; in one that is not, below its own.
func TestTheCgroupOfAUnit(t *testing.T) {
	if os.Getenv(asService) != "" {
		place, err := linux.CgroupPlace()
		fmt.Printf("place %s %v\n", place, err)
		return
	}
	unit, err := os.MkdirTemp(place(t), "troupe-test-unit-")
	if err != nil {
		lacking(t, err)
	}
	t.Cleanup(func() {
		if err := early.RemoveCgroup(unit); err != nil {
			t.Error(err)
		}
	})
	own := unit + "/supervisor"
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ mark, value, want string }{
		{"invocation_id", "0123456789abcdef0123456789abcdef", own}, {"delegate", "0", own}, {"delegate", "1", unit},
	} {
		if err := unix.Setxattr(unit, "user."+c.mark, []byte(c.value), 0); err != nil {
			t.Skipf("this kernel lets us mark no cgroups: %v", err)
		}
		if got, want := placeIn(t, own), "place "+c.want+" <nil>\n"; !strings.HasPrefix(got, want) {
			t.Errorf("%s=%s: %q, want %q", c.mark, c.value, got, want)
		}
	}
}

// placeIn is what this test says in a cgroup.
func placeIn(t *testing.T, cgroup string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), asService+"=1")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	startIn(t, cmd, cgroup)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return out.String()
}
