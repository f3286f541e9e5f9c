package linux_test

import (
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"troupe/sandbox"
	"troupe/sandbox/linux"
)

// parent is the process that made a process.
func parent(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	ppid, err := strconv.Atoi(strings.Fields(after)[1])
	if err != nil {
		t.Fatal(err)
	}
	return ppid
}

// within fails the test where f does not come to its end.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not end", what)
	}
}

// Whoever waits for a builder hears of its end also where the launcher dies, and
// the builder dies with it.
func TestTheLauncherDies(t *testing.T) {
	l, err := linux.NewLauncher()
	if err != nil {
		t.Fatal(err)
	}
	spec := sandbox.Spec{Builder: "/bin/sh", Args: []string{"sh", "-c", "echo started; exec sleep 1000"}, Env: []string{"PATH=/bin:/usr/bin"}, Dir: "/", Identity: ownIdentity()}
	p, err := l.Start(spec, linux.Places{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.Output, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(parent(t, p.PID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, "the builder's output", func() { drain(t, p) })
	within(t, "waiting", func() {
		if e := p.Wait(); e.Code != -1 || e.Signal != int(syscall.SIGKILL) {
			t.Errorf("%+v", e)
		}
	})
	within(t, "starting another", func() {
		if _, err := l.Start(spec, linux.Places{}, nil); err == nil {
			t.Error("a dead launcher started a builder")
		}
	})
	within(t, "closing", func() {
		if err := l.Close(); err == nil {
			t.Error("closing does not say that the launcher was killed")
		}
	})
}
