package host_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"troupe/actors/host"
	"troupe/messages"
)

// spawner starts a child, hands every output on to it, and stops it at EOF.
type spawner struct{ self messages.Address }

func (s *spawner) String() string { return "spawner" }

func (s *spawner) Step(m messages.Message) []host.Effect {
	kid := "kid/" + s.self
	switch m := m.(type) {
	case *messages.StartChild:
		return []host.Effect{host.Spawn{Actor: kid, Kind: "kid"}, host.Send{To: kid, Msg: m}}
	case *messages.ChildOutput:
		return []host.Effect{host.Send{To: kid, Msg: m}}
	case *messages.EOF:
		return []host.Effect{host.Stop{Actor: kid}, host.Send{To: "sink", Msg: m}}
	case *messages.ActorFailed:
		return []host.Effect{host.Send{To: "sink", Msg: m}}
	}
	panic("unexpected " + m.String())
}

// kid passes on what it hears, and panics at a line that says so.
type kid struct{ heard int }

func (k *kid) String() string { return fmt.Sprint(k.heard) }

func (k *kid) Step(m messages.Message) []host.Effect {
	k.heard++
	if o, ok := m.(*messages.ChildOutput); ok && o.LastLine == "panic" {
		panic("told to")
	}
	return []host.Effect{host.Send{To: "sink", Msg: m}}
}

type recorder struct {
	mu    sync.Mutex
	steps []host.Step
}

func (r *recorder) Record(s host.Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, s)
}

func start(t *testing.T) (*host.Runtime, *recorder, chan messages.Message) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	rec := &recorder{}
	sink := make(chan messages.Message, 20000)
	rt := host.Start(host.Options{
		New: func(k host.Kind, at messages.Address) host.Machine {
			if k == "kid" {
				return &kid{}
			}
			return &spawner{self: at}
		},
		Journal: rec, Logger: zerolog.Nop(),
		Fatal: func(a messages.Address, reason string) {
			sink <- &messages.ActorFailed{Actor: "fatal/" + a, Reason: reason}
		},
	})
	t.Cleanup(rt.Shutdown)
	rt.SpawnPort("sink", func(m messages.Message) { sink <- m })
	return rt, rec, sink
}

func TestMessagesKeepTheirOrder(t *testing.T) {
	rt, rec, sink := start(t)
	rt.SpawnMachine("a", "spawner")
	rt.Send("a", &messages.StartChild{Goal: "g"})
	const n = 5000
	for i := range n {
		rt.Send("a", &messages.ChildOutput{To: int64(i)})
	}
	<-sink
	for i := range n {
		if got := (<-sink).(*messages.ChildOutput).To; got != int64(i) {
			t.Fatalf("message %d came as number %d", got, i)
		}
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.steps) != 2*(n+1) {
		t.Fatalf("the journal has %d steps, want %d", len(rec.steps), 2*(n+1))
	}
}

func TestAPanicEndsOneActorAlone(t *testing.T) {
	rt, rec, sink := start(t)
	rt.SpawnMachine("a", "spawner")
	rt.SpawnMachine("b", "spawner")
	for _, to := range []messages.Address{"a", "b"} {
		rt.Send(to, &messages.StartChild{})
		<-sink
	}
	rt.Send("a", &messages.ChildOutput{LastLine: "panic"})
	if got := (<-sink).String(); got != `actor-failed actor=kid/a reason="told to"` {
		t.Fatal(got)
	}
	rt.Send("a", &messages.ChildOutput{LastLine: "to a dead actor"})
	rt.Send("b", &messages.ChildOutput{LastLine: "alive"})
	if got := (<-sink).(*messages.ChildOutput).LastLine; got != "alive" {
		t.Fatal(got)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, s := range rec.steps {
		if s.Panic != "" && (s.Actor != "kid/a" || s.Effects != nil) {
			t.Fatalf("unexpected step %+v", s)
		}
	}
}

func TestAPanicAtTheTopIsFatal(t *testing.T) {
	rt, _, sink := start(t)
	rt.SpawnMachine("a", "spawner")
	rt.Send("a", &messages.SlotFree{})
	if got := (<-sink).(*messages.ActorFailed).Actor; got != "fatal/a" {
		t.Fatal(got)
	}
}

// An actor may be stopped by its owner and the owner go on at once.
func TestStop(t *testing.T) {
	rt, _, sink := start(t)
	rt.SpawnMachine("a", "spawner")
	rt.Send("a", &messages.StartChild{})
	<-sink
	rt.Send("a", &messages.EOF{})
	<-sink
	rt.Send("kid/a", &messages.ChildOutput{LastLine: "lost"})
	rt.Send("sink", &messages.EOF{})
	if got := (<-sink).String(); got != "eof" {
		t.Fatal(got)
	}
}

// Ten thousand actors that hear nothing cost no goroutine.
func TestIdleActorsAreCheap(t *testing.T) {
	rt, _, sink := start(t)
	for i := range 10000 {
		rt.SpawnMachine(messages.Address(fmt.Sprint("m", i)), "spawner")
		rt.Send(messages.Address(fmt.Sprint("m", i)), &messages.EOF{})
	}
	for range 10000 {
		<-sink
	}
}

func TestTimeOnlyGrows(t *testing.T) {
	rt, _, _ := start(t)
	if a, b := rt.Now(), rt.Now(); a < 0 || b < a || b > time.Hour {
		t.Fatal(a, b)
	}
}

// TestTurns: what is sent to machines one after the other is taken so.
func TestTurns(t *testing.T) {
	const kids = 32
	rt, _, sink := start(t)
	for n := range kids {
		rt.SpawnMachine(messages.Address(fmt.Sprint(n)), "kid")
	}
	for round := range 200 {
		for n := range kids {
			rt.Send(messages.Address(fmt.Sprint(n)), &messages.ChildOutput{LastLine: fmt.Sprint(n)})
		}
		for n := range kids {
			if got := (<-sink).(*messages.ChildOutput).LastLine; got != fmt.Sprint(n) {
				t.Fatalf("round %d: %s came as number %d", round, got, n)
			}
		}
	}
}
