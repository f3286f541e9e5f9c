package remotestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"troupe/actors/ports/remotestore/sshdtest"
	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// silent listens as a daemon that greets, if it does, and then reads and says nothing.
// It returns its URL.
func silent(t *testing.T, greets bool) string {
	t.Helper()
	socket := t.TempDir() + "/socket"
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				if greets {
					greet(conn)
				}
				io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait() // who has connected goes first
	})
	return "unix://" + socket
}

func greet(conn net.Conn) error {
	r, w := workerproto.NewReader(conn), workerproto.NewWriter(conn)
	d, err := workerproto.Server{Dir: "/nix/store", Version: workerproto.Newest, NixVersion: "silent", Trust: workerproto.Trusted}.Accept(r, w)
	return errors.Join(err, workerproto.WriteFrame(w, &workerproto.Last{}, d), w.Flush())
}

// TestNobodyAnswers: who takes the connection and says nothing is as one that cannot be
// reached, after connect-timeout: a socket, a program, and one that an sshd has started.
func TestNobodyAnswers(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	program := t.TempDir() + "/program"
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec cat >/dev/null\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	machine := sshdtest.Start(t)
	for _, at := range []string{silent(t, false), "ssh-ng://localhost?remote-program=" + url.QueryEscape(program),
		machine.URL("ssh-ng", "remote-program="+url.QueryEscape(program)), machine.URL("ssh", "remote-program="+url.QueryEscape(program))} {
		limit := 500 * time.Millisecond
		store, _, err := OpenAny(at, Settings{Dir: "/nix/store", ConnectTimeout: limit})
		if err != nil {
			t.Fatal(err)
		}
		err = store.Reach(t.Context())
		var unreachable *UnreachableError
		if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), fmt.Sprintf("it does not answer within %v", limit)) {
			t.Errorf("%s: %v", at, err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestConnectingIsAbandoned: an ssh that is still connecting when the time is up is ended
// by force at once, and not asked first, which it would not hear.
func TestConnectingIsAbandoned(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\ncat >/dev/null\n>" + dir + "/asked\n"
	if err := os.WriteFile(dir+"/ssh", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	store := opened(t, "ssh-ng://root@192.0.2.1", Settings{Dir: "/nix/store", ConnectTimeout: 200 * time.Millisecond})
	if err := store.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), "it does not answer within 200ms") {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/asked"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was asked to end: %v", err)
	}
}

// TestItFallsSilent: one that was well and hangs is lost, whatever is asked of it or
// sent there, and the connection is not used again.
func TestItFallsSilent(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	store := opened(t, silent(t, true), Settings{Dir: "/nix/store"})
	path, err := storepath.ParseBase("1r2c1hkiirq3npgvlgqmqckfkdj3gm1k-one")
	if err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(context.Context, *Conn) error{
		"a question": func(ctx context.Context, c *Conn) error {
			_, err := c.Valid(ctx, []storepath.Path{path}, false)
			return err
		},
		"an archive": func(ctx context.Context, c *Conn) error { return c.NAR(ctx, path, io.Discard) },
		"what is sent": func(ctx context.Context, c *Conn) error {
			return c.Add(ctx, Terms{}, (&conversation{t: t}).object(path.Base(), strings.Repeat("x", 1<<20)))
		},
	} {
		err := store.Do(t.Context(), func(c *Conn) error {
			return c.Watched(t.Context(), 100*time.Millisecond, func(ctx context.Context) error { return ask(ctx, c) })
		})
		var lost *LostError
		if !errors.As(err, &lost) || !strings.Contains(err.Error(), "nothing came from there and nothing went there for 100ms") {
			t.Errorf("%s: %v", name, err)
		}
		if len(store.free) != 0 {
			t.Errorf("%s: the connection is kept", name)
		}
	}
}

// gated is a wire that reads and writes when it is told.
type gated struct {
	wire
	gate chan int
}

func (g gated) Read([]byte) (int, error)  { return <-g.gate, nil }
func (g gated) Write([]byte) (int, error) { return <-g.gate, nil }

// TestWaited: only while something is read or written we wait for the wire, and each
// time that something came or went we wait anew.
func TestWaited(t *testing.T) {
	g := gated{gate: make(chan int)}
	p := &pulse{wire: g}
	hour := func() time.Duration { return p.waited(time.Now().Add(time.Hour)) }
	if got := hour(); got != 0 {
		t.Errorf("%v before anything was read", got)
	}
	var done sync.WaitGroup
	begin := func(f func([]byte) (int, error)) {
		p.mu.Lock()
		before := p.calls
		p.mu.Unlock()
		done.Go(func() { f(nil) })
		for under := before; under == before; {
			p.mu.Lock()
			under = p.calls
			p.mu.Unlock()
		}
	}
	begin(p.Read)
	if got := hour(); got < time.Hour-time.Minute {
		t.Errorf("%v while it is read", got)
	}
	p.mu.Lock()
	p.since = time.Now().Add(-2 * time.Hour)
	p.mu.Unlock()
	begin(p.Write)
	if got := hour(); got > 2*time.Hour {
		t.Errorf("%v after a write began", got)
	}
	p.mu.Lock()
	p.since = time.Now().Add(-2 * time.Hour)
	p.mu.Unlock()
	g.gate <- 1
	g.gate <- 1
	done.Wait()
	if got := hour(); got != 0 {
		t.Errorf("%v after all was read", got)
	}
}
