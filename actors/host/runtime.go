package host

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	cmap "github.com/orcaman/concurrent-map"
	"github.com/rs/zerolog"

	"troupe/messages"
)

// Options are what a [Runtime] is made of.
type Options struct {
	// New makes the machine of a kind for an actor, in its first state.
	New     func(Kind, messages.Address) Machine
	Journal Journal // nil: none
	Logger  zerolog.Logger
	// Fatal is told when an actor that nobody spawned panics: the process
	// cannot go on without it.
	Fatal func(actor messages.Address, reason string)
	// Stepped, if not nil, decides the order of everything: machines run in its
	// goroutine only. See [Stepped].
	Stepped *Stepped
}

// Stepped runs a tree one message at a time. What machines send goes to Post,
// and [Runtime.Deliver] lets one message be taken; time is what Now says.
type Stepped struct {
	Post func(from, to messages.Address, m messages.Message)
	Now  func() time.Duration
}

// Runtime is a running tree of actors.
type Runtime struct {
	opts   Options
	system *actor.ActorSystem
	start  time.Time
	line   *line // in which machines wait for their turn
	// machines are what all machines are made by: those of one's own would be most
	// of what protoactor has of an actor.
	machines *actor.Props

	mu     sync.RWMutex // guards what follows
	actors map[messages.Address]*running
}

// running is one actor.
type running struct {
	pid     *actor.PID
	machine Machine          // nil of a port
	owner   messages.Address // who spawned it, if anybody did
}

// protoactor has 1,024 maps of its actors, and each of them was 32. Those take 3 MB
// when they are empty, and as much again with an actor or none in most.
func init() { cmap.SHARD_COUNT = 1 }

// Start makes an empty tree.
func Start(opts Options) *Runtime {
	logger := opts.Logger
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(renamed{zerolog.NewSlogHandler(logger)})
	}))
	r := &Runtime{opts: opts, system: system, start: time.Now(), line: &line{}, actors: map[messages.Address]*running{}}
	r.machines = r.props(r.line, func(c actor.Context) {
		if in, ok := c.Message().(messages.Message); ok {
			r.take(messages.Address(c.Self().Id), in)
		}
	})
	return r
}

// props are what an actor is made by that gets its messages by f.
func (r *Runtime) props(d actor.Dispatcher, f actor.ReceiveFunc) *actor.Props {
	if r.opts.Stepped != nil {
		d = actor.NewSynchronizedDispatcher(everything)
	}
	return actor.PropsFromFunc(f, actor.WithMailbox(newMailbox), actor.WithDispatcher(d))
}

// Now is the time since the runtime started: the scale of every time in a
// message.
func (r *Runtime) Now() time.Duration {
	if s := r.opts.Stepped; s != nil {
		return s.Now()
	}
	return time.Since(r.start)
}

// Send delivers a message from outside the tree, or from a port. A message to
// an actor that has stopped is dropped.
func (r *Runtime) Send(to messages.Address, m messages.Message) { r.Deliver(to, m) }

// Deliver is Send; it reports whether there is such an actor. Of a stepped
// runtime the actor has taken the message when it returns.
func (r *Runtime) Deliver(to messages.Address, m messages.Message) bool {
	a := r.actor(to)
	if a == nil {
		r.opts.Logger.Debug().Str("to", string(to)).Stringer("msg", m).Msg("no such actor")
		return false
	}
	r.system.Root.Send(a.pid, m)
	return true
}

// actor is nil where there is none, or no more.
func (r *Runtime) actor(at messages.Address) *running {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.actors[at]
}

// post passes on what an actor sends.
func (r *Runtime) post(from, to messages.Address, m messages.Message) {
	if s := r.opts.Stepped; s != nil {
		s.Post(from, to, m)
		return
	}
	r.Deliver(to, m)
}

// SpawnMachine starts a machine of the tree's own, which nobody watches.
func (r *Runtime) SpawnMachine(at messages.Address, k Kind) { r.spawn(at, k, "") }

func (r *Runtime) spawn(at messages.Address, k Kind, owner messages.Address) {
	r.add(at, r.machines, &running{machine: r.opts.New(k, at), owner: owner})
}

// SpawnPort starts a port: handle is called for one message at a time, and
// must not block.
func (r *Runtime) SpawnPort(at messages.Address, handle func(messages.Message)) {
	r.add(at, r.props(atOnce{}, func(c actor.Context) {
		if in, ok := c.Message().(messages.Message); ok {
			handle(in)
		}
	}), &running{})
}

func (r *Runtime) add(at messages.Address, props *actor.Props, a *running) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.actors[at] != nil {
		panic(fmt.Sprintf("spawn %s: the address is taken", at))
	}
	var err error
	if a.pid, err = r.system.Root.SpawnNamed(props, string(at)); err != nil {
		panic(fmt.Sprintf("spawn %s: %v", at, err))
	}
	r.actors[at] = a
}

func (r *Runtime) remove(at messages.Address) {
	r.mu.Lock()
	a := r.actors[at]
	delete(r.actors, at)
	r.mu.Unlock()
	if a != nil {
		r.system.Root.Stop(a.pid)
	}
}

// take gives a machine a message. One that was removed takes none any more.
func (r *Runtime) take(at messages.Address, in messages.Message) {
	if a := r.actor(at); a != nil {
		r.step(at, a.machine, a.owner, in)
	}
}

// step lets one machine take one message, and performs what it asks for.
func (r *Runtime) step(at messages.Address, m Machine, owner messages.Address, in messages.Message) {
	out, reason := Take(m, in)
	if j := r.opts.Journal; j != nil {
		j.Record(Step{At: r.Now(), Actor: at, Message: in, State: m.String(), Effects: out, Panic: reason})
	}
	if reason != "" {
		r.fail(at, owner, reason)
		return
	}
	for _, e := range out {
		switch e := e.(type) {
		case Send:
			r.post(at, e.To, e.Msg)
		case Spawn:
			r.spawn(e.Actor, e.Kind, at)
		case Stop:
			r.remove(e.Actor)
		}
	}
}

// fail ends an actor that panicked, with those that it spawned, and tells whoever
// spawned it.
func (r *Runtime) fail(at, owner messages.Address, reason string) {
	r.opts.Logger.Error().Str("actor", string(at)).Str("reason", reason).Msg("actor panicked")
	r.remove(at)
	for _, child := range r.children(at) {
		r.remove(child)
	}
	if owner == "" {
		r.opts.Fatal(at, reason)
		return
	}
	r.post(at, owner, &messages.ActorFailed{Actor: at, Reason: reason})
}

// children are those that an actor spawned. Only goals spawn, and what they spawn
// does not.
func (r *Runtime) children(of messages.Address) (all []messages.Address) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for at, a := range r.actors {
		if a.owner == of {
			all = append(all, at)
		}
	}
	return all
}

// Take lets a machine take a message. If it panics, reason says why.
func Take(m Machine, in messages.Message) (out []Effect, reason string) {
	defer func() {
		if p := recover(); p != nil {
			out, reason = nil, fmt.Sprint(p)
			if _, ours := p.(string); !ours {
				reason += "\n" + string(debug.Stack())
			}
		}
	}()
	return m.Step(in), ""
}

// Shutdown stops every actor, without waiting for what they were about to do.
// The tree must be at rest, or its work be given up.
func (r *Runtime) Shutdown() {
	r.mu.Lock()
	actors := r.actors
	r.actors = map[messages.Address]*running{}
	r.mu.Unlock()
	for _, a := range actors {
		r.system.Root.Stop(a.pid)
	}
}
