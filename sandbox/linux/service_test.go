package linux_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
	"troupe/sandbox/linux"
)

// asService says to TestTheServiceDies that it is the service: it starts two
// builders, says their process ids, and waits to be killed.
const asService = "TROUPE_TEST_SERVICE"

// Builders do not outlive the service, even where it is killed without warning.
func TestTheServiceDies(t *testing.T) {
	if os.Getenv(asService) != "" {
		serve(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestTheServiceDies$")
	cmd.Env = append(os.Environ(), asService+"=1")
	cmd.Stderr = os.Stderr
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var plain, boxed int
	line, err := bufio.NewReader(said).ReadString('\n')
	if err == nil {
		_, err = fmt.Sscanf(line, "builders %d %d", &plain, &boxed)
	}
	var handles []int
	for _, pid := range []int{plain, boxed} {
		if pid == 0 {
			continue
		}
		fd, ferr := unix.PidfdOpen(pid, 0)
		if ferr != nil {
			t.Error(ferr)
			continue
		}
		defer unix.Close(fd)
		handles = append(handles, fd)
	}
	if kerr := cmd.Process.Kill(); kerr != nil {
		t.Error(kerr)
	}
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	for _, fd := range handles {
		within(t, "a builder", func() { awaitEnd(t, fd) })
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the service was not killed")
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
