package sshdtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Place is a network namespace. It is that of one thread, on which all is done that is
// done in it, and of the processes that are started so; nothing of it is left when they
// are gone.
type Place struct {
	work   chan func()
	thread int
}

// NewPlace makes one with no way out, until the test ends. Where there can be none the
// test is skipped; with CI set it fails.
func NewPlace(t testing.TB) *Place {
	t.Helper()
	need(t, "ip", "iproute2")
	p := &Place{work: make(chan func())}
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		p.thread = unix.Gettid()
		begun <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range p.work {
			f()
		}
	}()
	err := <-begun
	t.Cleanup(func() { close(p.work) })
	if err != nil {
		lacking(t, fmt.Sprintf("network namespaces: %v", err))
	}
	p.must(t, "link", "set", "lo", "up")
	return p
}

// Do does something in the place; nil is where everybody is.
func (p *Place) Do(f func() error) error {
	if p == nil {
		return f()
	}
	done := make(chan error)
	p.work <- func() { done <- f() }
	return <-done
}

func (p *Place) ip(args ...string) error {
	return p.Do(func() error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("ip %q: %w: %s", args, err, out)
		}
		return err
	})
}

func (p *Place) must(t testing.TB, args ...string) {
	t.Helper()
	if err := p.ip(args...); err != nil {
		t.Fatal(err)
	}
}

// Link is a cable between two places.
type Link struct {
	From, To string // the addresses of its ends

	far  *Place
	name string
}

// NewLink lays the cable number n, from 0 to 255. The near end knows for good which
// hardware is at the other: a switch between them would not say that it is gone.
func NewLink(t testing.TB, near, far *Place, n int) *Link {
	t.Helper()
	l := &Link{From: fmt.Sprintf("10.98.%d.1", n), To: fmt.Sprintf("10.98.%d.2", n), far: far, name: fmt.Sprintf("far%d", n)}
	hardware := fmt.Sprintf("02:00:00:00:00:%02x", n)
	near.must(t, "link", "add", fmt.Sprintf("near%d", n), "type", "veth", "peer", "name", l.name, "address", hardware, "netns", fmt.Sprint(far.thread))
	near.must(t, "address", "add", l.From+"/24", "dev", fmt.Sprintf("near%d", n))
	near.must(t, "link", "set", fmt.Sprintf("near%d", n), "up")
	near.must(t, "neighbour", "replace", l.To, "lladdr", hardware, "dev", fmt.Sprintf("near%d", n), "nud", "permanent")
	far.must(t, "address", "add", l.To+"/24", "dev", l.name)
	far.must(t, "link", "set", l.name, "up")
	return l
}

// Cut takes it away at the far end. What is sent vanishes, and nobody says so.
func (l *Link) Cut() error { return l.far.ip("link", "set", l.name, "down") }

// need ends a test where a program is missing.
func need(t testing.TB, program, debian string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		lacking(t, errors.Join(err, fmt.Errorf("it is in Debian's package %s", debian)).Error())
	}
}

func lacking(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("missing: ", what)
	}
	t.Skip("missing: ", what)
}
