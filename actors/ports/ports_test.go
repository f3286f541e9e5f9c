package ports

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"troupe/messages"
)

// outbox keeps what a port sends.
type outbox chan sent

type sent struct {
	to messages.Address
	m  messages.Message
}

func (o outbox) Send(to messages.Address, m messages.Message) { o <- sent{to, m} }
func (o outbox) Now() time.Duration                           { return time.Second }

func TestClock(t *testing.T) {
	defer goleak.VerifyNone(t)
	out := make(outbox, 10)
	c := NewClock(out)
	c.Handle(&messages.StartTimer{Owner: "a", Name: "never", After: time.Hour})
	c.Handle(&messages.StartTimer{Owner: "a", Name: "withdrawn", After: time.Hour})
	c.Handle(&messages.CancelTimer{Owner: "a", Name: "withdrawn"})
	c.Handle(&messages.StartTimer{Owner: "a", Name: "anew", After: time.Hour})
	c.Handle(&messages.StartTimer{Owner: "a", Name: "anew", After: time.Microsecond})
	got := <-out
	if got.to != "a" || got.m.String() != "timer-fired name=anew at=1s" {
		t.Fatal(got)
	}
	c.Close()
	if len(c.timers) != 0 || len(out) != 0 {
		t.Fatal(len(c.timers), len(out))
	}
}

func TestClients(t *testing.T) {
	out := make(outbox, 10)
	c := NewClients(out)
	done := make(chan []messages.Result)
	go func() {
		done <- c.Realise(context.Background(), messages.RealiseTargets{Targets: make([]messages.Target, 1), KeepGoing: true})
	}()
	asked := (<-out).m.(*messages.RealiseTargets)
	if asked.Client != messages.Clients || !asked.KeepGoing || len(asked.Targets) != 1 {
		t.Fatal(asked)
	}
	c.Handle(&messages.TargetsRealised{Request: asked.Request, Results: []messages.Result{{Status: messages.Built}}})
	if r := <-done; len(r) != 1 {
		t.Fatal(r)
	}

	// One that is cancelled is still answered.
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- c.Realise(ctx, messages.RealiseTargets{}) }()
	second := (<-out).m.(*messages.RealiseTargets)
	cancel()
	if w := (<-out).m.(*messages.CancelRequest); w.Request != second.Request || second.Request == asked.Request {
		t.Fatal(w)
	}
	c.Handle(&messages.TargetsRealised{Request: second.Request})
	<-done

	rest := make(chan error)
	go func() { rest <- c.AwaitRest(context.Background()) }()
	<-out
	c.Handle(&messages.AtRest{})
	if err := <-rest; err != nil {
		t.Fatal(err)
	}
}

func TestTail(t *testing.T) {
	for _, c := range []struct {
		pieces []string
		lines  []string
		last   string
	}{
		{[]string{"one\ntwo\nthr", "ee\nfour"}, []string{"two", "three", "four"}, "four"},
		{[]string{"a\r\n", "10%\r50%\r100%\n\n"}, []string{"a", "100%", ""}, "100%"},
		{[]string{""}, nil, ""},
		{[]string{"a\n@nix {\"action\":\"setPhase\",\"phase\":\"build\"}\n@nix {\"action\":\"unheard-of\"}\n@nix {\"act"}, []string{"a", `@nix {"action":"unheard-of"}`, `@nix {"act`}, `@nix {"action":"unheard-of"}`},
		{[]string{strings.Repeat("x", 10000), "y\nz\n"}, []string{strings.Repeat("x", maxLine), "z"}, "z"},
	} {
		tail := newTail(3)
		for _, p := range c.pieces {
			tail.add([]byte(p))
		}
		if got := tail.last(); got != c.last {
			t.Errorf("%.20q: last is %.20q, want %q", c.pieces, got, c.last)
		}
		if got := tail.lines(); !slices.Equal(got, c.lines) {
			t.Errorf("%.20q: got %.40q, want %.40q", c.pieces, got, c.lines)
		}
	}
}

// A build may be discarded before it is its turn to be finished: its goal panicked.
func TestFinishWhatIsGone(t *testing.T) {
	out := make(outbox, 1)
	b := NewBuilds(out, Services{}, nil)
	b.Handle(&messages.FinishBuild{Build: "drv/gone"})
	got := <-out
	if m, ok := got.m.(*messages.BuildRejected); !ok || got.to != "drv/gone" || m.Status != messages.MiscFailure {
		t.Fatal(got)
	}
}

// TestInOrder: what is done in the wrong order is told in the right one.
func TestInOrder(t *testing.T) {
	o := inOrder{lanes: newLanes(3)}
	told, first, second := make(chan int, 3), make(chan bool), make(chan bool)
	do := func(n int, after, before chan bool) {
		o.run(func() func() {
			if after != nil {
				<-after
			}
			if before != nil {
				close(before)
			}
			return func() { told <- n }
		})
	}
	do(1, first, nil)
	do(2, second, first)
	do(3, nil, second)
	for n := 1; n <= 3; n++ {
		if got := <-told; got != n {
			t.Errorf("%d is told as number %d", got, n)
		}
	}
}

// TestLanes: what waits is no goroutine, and is done in the order in which it came.
func TestLanes(t *testing.T) {
	const many = 1000
	l, begun, goOn, done := newLanes(1), make(chan bool), make(chan bool), make(chan int, many+1)
	l.run(func() { begun <- true; <-goOn })
	<-begun
	before := runtime.NumGoroutine()
	for n := range many {
		l.run(func() { done <- n })
	}
	if more := runtime.NumGoroutine() - before; more > many/10 {
		t.Errorf("%d pieces of work that wait are %d goroutines", many, more)
	}
	close(goOn)
	for n := range many {
		if got := <-done; got != n {
			t.Fatalf("%d is done in the place of %d", got, n)
		}
	}
	l.run(func() { done <- many }) // the lane is given back
	if got := <-done; got != many {
		t.Errorf("after all, %d is done", got)
	}
}
