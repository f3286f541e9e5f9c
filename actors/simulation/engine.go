package simulation

import (
	"time"

	"github.com/rs/zerolog"

	"troupe/actors/goal"
	"troupe/actors/host"
	"troupe/actors/machines"
	"troupe/actors/session"
	"troupe/actors/worker"
	"troupe/messages"
)

// engine runs machines one message at a time.
type engine interface {
	start()
	deliver(to messages.Address, m messages.Message)
	stop()
}

// plain runs machines as they are: the fastest way.
type plain struct {
	w       *World
	journal host.Journal
	make    Maker
	actors  map[messages.Address]*plainActor
}

type plainActor struct {
	host.Machine
	owner messages.Address
}

func newPlain(w *World, j host.Journal) *plain { return &plain{w: w, journal: j} }

func (p *plain) start() {
	settings := Settings(p.w.Scenario)
	p.make = p.w.panicking(settings.Make)
	p.actors = map[messages.Address]*plainActor{}
	for _, f := range machines.AllFixed {
		p.spawn(f.Address, f.Kind, "")
	}
}

func (p *plain) stop() { p.actors = nil }

func (p *plain) spawn(at messages.Address, k host.Kind, owner messages.Address) {
	p.actors[at] = &plainActor{p.make(k, at), owner}
}

func (p *plain) deliver(to messages.Address, m messages.Message) {
	a := p.actors[to]
	if a == nil {
		return
	}
	p.w.cover(a.Machine, m)
	out, reason := host.Take(a.Machine, m)
	s := host.Step{At: p.w.ev.now, Actor: to, Message: m, Effects: out, Panic: reason}
	if p.journal != nil || p.w.traced || to == messages.Door {
		s.State = a.String()
	}
	if p.journal != nil {
		p.journal.Record(s)
	}
	p.w.observe(s)
	if reason != "" {
		p.fail(to, a.owner, reason)
		return
	}
	for _, e := range out {
		switch e := e.(type) {
		case host.Send:
			p.w.send(to, e.To, e.Msg)
		case host.Spawn:
			p.spawn(e.Actor, e.Kind, to)
		case host.Stop:
			delete(p.actors, e.Actor)
		}
	}
}

func (p *plain) fail(at, owner messages.Address, reason string) {
	delete(p.actors, at)
	for child, a := range p.actors {
		if a.owner == at {
			delete(p.actors, child)
		}
	}
	p.w.panicked(at, owner, reason)
	if owner != "" {
		p.w.send(at, owner, &messages.ActorFailed{Actor: at, Reason: reason})
	}
}

// tree runs the real tree of actors, on mailboxes that hand over one message
// when they are told to.
type tree struct {
	w       *World
	journal host.Journal
	runtime *host.Runtime
}

func newTree(w *World, j host.Journal) *tree { return &tree{w: w, journal: j} }

func (t *tree) start() {
	settings := Settings(t.w.Scenario)
	t.runtime = host.Start(host.Options{New: t.w.panicking(settings.Make), Journal: t, Logger: zerolog.Nop(),
		Fatal:   func(at messages.Address, reason string) { t.w.panicked(at, "", reason) },
		Stepped: &host.Stepped{Post: t.w.send, Now: func() time.Duration { return t.w.ev.now }}})
	for _, f := range machines.AllFixed {
		t.runtime.SpawnMachine(f.Address, f.Kind)
	}
}

// Record implements [host.Journal].
func (t *tree) Record(s host.Step) {
	if t.journal != nil {
		t.journal.Record(s)
	}
	t.w.observe(s)
}

func (t *tree) deliver(to messages.Address, m messages.Message) { t.runtime.Deliver(to, m) }

func (t *tree) stop() { t.runtime.Shutdown() }

// panicking lets goals, children and sessions panic now and then.
func (w *World) panicking(make func(host.Kind, messages.Address) host.Machine) Maker {
	if w.Faults[ActorPanics] == 0 {
		return make
	}
	return func(k host.Kind, at messages.Address) host.Machine {
		m := make(k, at)
		if k == worker.KindDerivation || k == worker.KindSubstitution || k == goal.KindChild || k == session.KindSession {
			p := &panicker{m, w, 1}
			if k == session.KindSession { // which has few steps
				p.tries = 6
			}
			return p
		}
		return m
	}
}

// planted is what an actor says that panics because the world wants it.
const planted = "a panic that the simulation planted"

type panicker struct {
	host.Machine
	w     *World
	tries int // at a panic, a step
}

func (p *panicker) Step(m messages.Message) []host.Effect {
	for range p.tries {
		if p.w.hit(ActorPanics) {
			panic(planted)
		}
	}
	return p.Machine.Step(m)
}

// panicked is told when an actor ended by a panic: one that nobody planted is a
// fault of ours.
func (w *World) panicked(at, owner messages.Address, reason string) {
	if reason != planted {
		w.fail("panic", string(at)+": "+reason)
	}
}
