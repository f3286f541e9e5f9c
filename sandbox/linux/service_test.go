package linux_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/sandbox/linux"
)

// asService says to a test that it is the service: it starts builders, says their
// process ids, and waits to be killed.
const asService = "TROUPE_TEST_SERVICE"

// newService runs this very test as the service, reads its line, and kills it at
// the end of the test.
func newService(t *testing.T) (service *os.Process, line string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), asService+"=1", "TMPDIR="+openDir(t)) // it cannot clean up
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // whose end that is
	t.Cleanup(runtime.UnlockOSThread)
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() // where the test has failed
		if err := cmd.Wait(); err == nil {
			t.Error("the service was not killed")
		}
	})
	line, err = bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return cmd.Process, line
}

// Builders do not outlive the service, even where it is killed without warning.
func TestTheServiceDies(t *testing.T) {
	if os.Getenv(asService) != "" {
		serve(t)
		return
	}
	service, line := newService(t)
	var plain, boxed int
	if _, err := fmt.Sscanf(line, "builders %d %d", &plain, &boxed); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	handles := []int{handle(t, plain), handle(t, boxed)}
	if err := service.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, fd := range handles {
		within(t, "a builder", func() { awaitEnd(t, fd) })
	}
}

// Nor does what they have detached from themselves, and no cgroup is left.
func TestTheServiceOfCgroupsDies(t *testing.T) {
	if os.Getenv(asService) != "" {
		serveDaemon(t)
		return
	}
	grouped(t) // or there is nothing to test
	service, line := newService(t)
	var builder, detached int
	var dir string
	if _, err := fmt.Sscanf(line, "builder %d %d %s", &builder, &detached, &dir); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	launcher, left := handle(t, parent(t, builder)), handle(t, detached)
	if err := service.Kill(); err != nil {
		t.Fatal(err)
	}
	within(t, "the launcher", func() { awaitEnd(t, launcher) })
	if !isDead(left) {
		t.Error("what a builder has detached outlives the service")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left (%v)", dir, err)
	}
}

func awaitEnd(t *testing.T, pidfd int) {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Error(err)
		}
		return
	}
}

func serve(t *testing.T) {
	l, err := linux.NewLauncher()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := l.Start(sandbox.Spec{Builder: "/bin/sh", Args: []string{"sh", "-c", "trap '' HUP TERM; sleep 1000"},
		Env: []string{"PATH=/bin:/usr/bin"}, Dir: "/", Identity: ownIdentity()}, linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := boxRequest(t, nil)
	r.Args = []string{"sh", "-c", "trap '' HUP TERM; sleep 1000"}
	boxed := startRequest(t, l, r)
	fmt.Printf("builders %d %d\n", plain.PID, boxed.PID)
	plain.Wait()
}

func serveDaemon(t *testing.T) {
	l, dir := grouped(t)
	d := newDaemon(t, "sleep 1000")
	p, err := l.Start(plain(d.start()+"sleep 1000"), linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	awaitLine(t, p, "started")
	fmt.Printf("builder %d %d %s\n", p.PID, d.pid(t), dir)
	p.Wait()
}

// A builder has no signal ignored because the service has.
func TestSignalsAreRestored(t *testing.T) {
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	defer signal.Reset(syscall.SIGPIPE, syscall.SIGHUP)
	l := launcher(t)
	p, err := l.Start(sandbox.Spec{Builder: "/bin/grep", Args: []string{"grep", "^Sig[BI]", "/proc/self/status"}, Dir: "/", Identity: ownIdentity()}, linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if out := strings.ReplaceAll(drain(t, p), "\t", " "); out != "SigBlk: 0000000000000000\nSigIgn: 0000000000000000\n" {
		t.Error(out)
	}
	p.Wait()
}

// Whatever the service's umask is, a builder can read what is made for it.
func TestUmaskOfTheService(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	r := boxRequest(t, nil)
	if err := os.Chmod(r.Real(r.Inputs[0])+"/busybox", 0o755); err != nil {
		t.Fatal(err)
	}
	r.Args = []string{"sh", "-c", r.Builder + " head -n 1 /etc/passwd; umask"}
	if out, _ := runRequest(t, r); out != "root:x:0:0:Nix build user:/build:/noshell\n0022\n" {
		t.Error(out)
	}
}
