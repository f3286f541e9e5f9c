package linux_test

import (
	"fmt"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/sandbox"
)

// Builders that share the host's network reach no abstract socket of the host
// and none of each other.
func TestAbstractSockets(t *testing.T) {
	version, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || version < 6 {
		t.Skip("this kernel has no scopes for sockets: Landlock is older than version 6")
	}
	attacker := map[string]string{"attacker": compiled(t, "attacker")}
	build := func(fixed bool, args ...string) sandbox.Request {
		r := boxRequest(t, attacker)
		if fixed {
			makeFixed(&r)
		}
		r.Builder = testStore.Join(r.Inputs[0]) + "/attacker"
		r.Args = append([]string{r.Builder}, args...)
		return r
	}
	ofHost := fmt.Sprintf("troupe-host-%d", os.Getpid())
	host, err := net.Listen("unix", "@"+ofHost)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	ofBuilder := fmt.Sprintf("troupe-builder-%d", os.Getpid())
	l := launcher(t)
	other := build(true, "listen", ofBuilder)
	if !other.Shared {
		other.OutsideUID--
	}
	p := startRequest(t, l, other)
	awaitLine(t, p, "listening: done")
	for _, name := range []string{ofHost, ofBuilder} {
		if out, _ := runRequest(t, build(true, "connect", name)); out != "connect: EPERM\n" {
			t.Errorf("a fixed output and %s: %q", name, out)
		}
		if out, _ := runRequest(t, build(false, "connect", name)); out != "connect: ECONNREFUSED\n" {
			t.Errorf("a builder without network and %s: %q", name, out)
		}
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	drain(t, p)
	p.Wait()
}
