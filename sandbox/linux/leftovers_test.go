package linux_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"troupe/sandbox"
	"troupe/sandbox/linux"
)

// alive counts a user's processes that still run; one that has ended and whose
// parent has not asked does not.
func alive(t *testing.T, uid int) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended meanwhile
		}
		text := string(b)
		if strings.Contains(text, fmt.Sprintf("\nUid:\t%d\t", uid)) && !strings.Contains(text, "\nState:\tZ") && !strings.Contains(text, "\nState:\tX") {
			n++
		}
	}
	return n
}

// bomb leaves processes with sessions of their own behind, forks without end, and
// ignores what can be ignored. What lives at a time is bounded, for the sake of
// this machine.
const bomb = `
trap '' TERM HUP INT
for i in 0 1 2 3; do for j in 0 1 2 3 4 5 6 7 8 9; do setsid sleep 1000 & done; done
for i in 0 1 2 3; do while :; do (:); done & done
echo begun
wait
`

// A fork bomb without a sandbox is gone when its user's processes are killed.
func TestForkBombOfAUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("another user's processes need root")
	}
	l := launcher(t)
	const uid = testUID - 1
	killAtEnd(t, l, uid)
	for range 5 {
		p, err := l.Start(sandbox.Spec{Builder: "/bin/sh", Args: []string{"sh", "-c", bomb}, Dir: "/", Env: []string{"PATH=/bin:/usr/bin"},
			Identity: sandbox.Identity{UID: uid, GID: uid, OutsideUID: uid, OutsideGID: uid, Change: true}}, linux.Places{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		awaitLine(t, p, "begun")
		if err := l.KillUser(uid); err != nil {
			t.Fatal(err)
		}
		if n := alive(t, uid); n > 0 {
			t.Errorf("%d processes are left", n)
		}
		drain(t, p)
		p.Wait()
	}
}

// killAtEnd kills a user's processes that a test leaves where it fails.
func killAtEnd(t *testing.T, l *linux.Launcher, uid int) {
	t.Cleanup(func() {
		if err := l.KillUser(uid); err != nil {
			t.Error(err)
		}
	})
}

// One in a sandbox goes with its first process.
func TestForkBombInASandbox(t *testing.T) {
	l := launcher(t)
	r := boxRequest(t, nil)
	r.Args = []string{"sh", "-c", strings.ReplaceAll(bomb, "setsid sleep", r.Builder+" setsid "+r.Builder+" sleep")}
	p := startRequest(t, l, r)
	awaitLine(t, p, "begun")
	for range 10 { // another build is not kept waiting
		if out, e := runRequestIn(t, l, "echo well"); out != "well\n" || e.Code != 0 {
			t.Fatalf("%q %+v", out, e)
		}
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	within(t, "the bomb", func() { drain(t, p) })
	if e := p.Wait(); e.Signal != 9 {
		t.Errorf("%+v", e)
	}
	if n := alive(t, r.OutsideUID); n > 0 && !r.Shared {
		t.Errorf("%d processes are left", n)
	}
}

func runRequestIn(t *testing.T, l *linux.Launcher, script string) (string, linux.Exit) {
	t.Helper()
	r := boxRequest(t, nil)
	if !r.Shared {
		r.OutsideUID-- // a user has one build at a time
	}
	r.Args = []string{"sh", "-c", script}
	p := startRequest(t, l, r)
	return drain(t, p), p.Wait()
}

func awaitLine(t *testing.T, p *linux.Process, want string) {
	t.Helper()
	line, err := bufio.NewReaderSize(p.Output, 16).ReadString('\n')
	if err != nil || line != want+"\n" {
		t.Fatalf("%q %v", line, err)
	}
}
