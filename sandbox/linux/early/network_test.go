package early

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// Each builder that is to have a network of its own has one where nobody was, with
// the loopback device; each other has the service's, whatever was before.
func TestNetwork(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	host, err := os.Readlink(ownNamespace)
	if err != nil {
		t.Fatal(err)
	}
	n := &network{}
	for i, step := range []struct{ own, ready bool }{
		{true, false}, {true, true}, {false, false}, {true, false}, {true, true}, {false, true}, {true, true}, {true, false}, {false, false}, {false, false}, {true, true},
	} {
		flags := uintptr(0)
		if step.own {
			flags = syscall.CLONE_NEWNET
		}
		where, said := placed(t, n, flags)
		if step.own && (where == host || strings.Contains(said, mark) || !strings.Contains(said, "127.0.0.1")) {
			t.Errorf("%d: in %s, the service is in %s; %q", i, where, host, said)
		}
		if !step.own && where != host {
			t.Errorf("%d: in %s, not in %s", i, where, host)
		}
		if step.ready {
			n.prepare(flags)
			if step.own && n.at != inFresh {
				t.Errorf("%d: nothing lies ready", i)
			}
		}
	}
}

// mark is left in each namespace that is a builder's own: a time to live.
const mark = "77"

// placed lets a builder say where it is, what is marked there, and the addresses; with
// flags it leaves the mark.
func placed(t *testing.T, n *network, flags uintptr) (where, said string) {
	var out [2]int
	if err := syscall.Pipe2(out[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(out[0])
	s := (&stages{shares: mayShare()}).next()
	s.add(syscall.SYS_DUP3, uintptr(out[1]), 1, 0)
	script := "readlink /proc/self/ns/net; cat /proc/sys/net/ipv4/ip_default_ttl; grep -o 127.0.0.1 /proc/self/net/fib_trie; "
	steps := []Step{{"exec", []string{"/bin/sh", "3", "sh", "-c", script, "PATH=/bin:/usr/bin"}}}
	if flags != 0 {
		steps[0].Args[4] += "echo " + mark + " > /proc/sys/net/ipv4/ip_default_ttl"
		steps = append([]Step{{"loopback", nil}}, steps...)
	}
	s.program = Encode(steps)
	if err := s.compile(); err != nil {
		t.Fatal(err)
	}
	pid, err := n.spawn(s, flags, -1, 2)
	syscall.Close(out[1])
	if err != nil {
		t.Fatal(err)
	}
	said = readFrom(out[0])
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
		t.Fatal(errors.Join(err, errors.New(said)))
	}
	where, said, _ = strings.Cut(said, "\n")
	return where, said
}
