// Package caches is the port that asks binary caches for paths and fetches them.
// The bytes stay in it: a NAR is unpacked where nobody looks as it comes, checked
// against what was promised and by whom, and added to the store.
package caches

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"troupe/actors/ports"
	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/pace"
)

// Caches is the port. What runs at a time is bounded by the number of goals, and
// for each cache by its connections.
type Caches struct {
	out  ports.Outbox
	s    ports.Services
	subs *Substituters

	// local bounds what is unpacked at a time of caches on this machine, which nobody
	// has to wait for but the processors: some windows have many MiB.
	local chan struct{}

	ctx context.Context // of all work
	end context.CancelFunc
	wg  sync.WaitGroup

	mu    sync.Mutex // guards what follows
	tasks map[messages.Address]*task

	drvs     sync.Mutex // held while a derivation is added
	drvAdder *addition.Adder
}

// task is what is done and known for one goal: a look-up, and then the fetch of
// what it found.
type task struct {
	ctx   context.Context
	end   context.CancelFunc
	work  sync.WaitGroup // of what runs
	found *Found         // nil before; not changed after the answer is sent
}

// New makes the port.
func New(out ports.Outbox, s ports.Services, subs *Substituters) *Caches {
	ctx, end := context.WithCancel(context.Background())
	return &Caches{out: out, s: s, subs: subs, local: make(chan struct{}, runtime.GOMAXPROCS(0)), ctx: ctx, end: end, tasks: map[messages.Address]*task{},
		drvAdder: &addition.Adder{Layout: s.Layout, DB: s.DB, Stages: s.Stages, Held: true}}
}

// Handle takes one message.
func (p *Caches) Handle(m messages.Message) {
	switch m := m.(type) {
	case *messages.LookUpPath:
		t := p.begin(m.From)
		p.run(t, m.From, func() messages.Message { return p.lookUp(t, m) })
	case *messages.LookUpRealisations:
		t := p.begin(m.From)
		p.run(t, m.From, func() messages.Message { return p.lookUpRealisations(t, m) })
	case *messages.FetchPath:
		t := p.find(m.From)
		p.run(t, m.From, func() messages.Message { return p.fetch(t, m) })
	case *messages.KillFetch:
		p.kill(m)
	default:
		panic(fmt.Sprintf("caches: unexpected %v", m))
	}
}

// begin makes a goal's task anew.
func (p *Caches) begin(goal messages.Address) *task {
	t := &task{}
	t.ctx, t.end = context.WithCancel(p.ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.tasks[goal]; old != nil {
		old.end()
	}
	p.tasks[goal] = t
	return t
}

// find is a goal's task. A goal fetches only what it was told of.
func (p *Caches) find(goal messages.Address) *task {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tasks[goal]
}

// run works for a goal, and answers unless it was killed meanwhile.
func (p *Caches) run(t *task, goal messages.Address, work func() messages.Message) {
	p.wg.Add(1)
	t.work.Add(1)
	pace.Go(func() {
		defer p.wg.Done()
		defer t.work.Done()
		if answer := work(); t.ctx.Err() == nil {
			p.out.Send(goal, answer)
		}
		if t.found == nil {
			p.drop(t, goal)
		}
	})
}

// drop forgets a task of which nothing is left: the goal may have begun another.
func (p *Caches) drop(t *task, goal messages.Address) {
	t.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tasks[goal] == t {
		delete(p.tasks, goal)
	}
}

func (p *Caches) kill(m *messages.KillFetch) {
	p.mu.Lock()
	t := p.tasks[m.Goal]
	delete(p.tasks, m.Goal)
	p.mu.Unlock()
	if t != nil {
		t.end()
	}
	if m.From == "" {
		return
	}
	p.wg.Go(func() {
		if t != nil {
			t.work.Wait()
		}
		p.out.Send(m.From, &messages.FetchKilled{})
	})
}

// Close ends everything.
func (p *Caches) Close() {
	p.end()
	p.wg.Wait()
}

func (p *Caches) lookUp(t *task, m *messages.LookUpPath) messages.Message {
	list, policy, err := p.subs.Of(t.ctx, m.Settings)
	if err != nil {
		return &messages.LookUpFailed{Reason: err.Error()}
	}
	if m.Cache >= len(list) {
		return &messages.PathNotFound{}
	}
	more := m.Cache+1 < len(list)
	sub := list[m.Cache]
	found, passed, err := sub.find(t.ctx, m.Path, m.CA)
	switch {
	case err != nil:
		return &messages.LookUpFailed{More: more, Reason: err.Error()}
	case found == nil:
		return &messages.PathNotFound{More: more, Warning: sub.complaint(passed)}
	}
	if err := p.admits(found, policy); err != nil {
		return &messages.PathNotFound{More: more, Warning: fmt.Sprintf(
			"ignoring substitute for '%s' from '%s', as it's not signed by any of the keys in 'trusted-public-keys'",
			p.s.Layout.Dir.Join(m.Path), sub)}
	}
	t.found, found.policy, found.more = found, policy, more
	return &messages.PathFound{Name: sub.String(), References: found.Others(), NarSize: found.Info.NarSize, Download: found.nar.FileSize}
}

// admits says why what was found is not taken. Of what a program makes nothing is known
// before: it is trusted as it was named.
func (p *Caches) admits(f *Found, policy ports.BuildPolicy) error {
	if _, is := f.sub.source.(*programSource); is {
		return nil
	}
	return p.adder(policy).Admits(f.Info, f.terms())
}

// adder adds what a goal fetches, which holds the lock and keeps the path.
func (p *Caches) adder(policy ports.BuildPolicy) *addition.Adder {
	return &addition.Adder{Layout: p.s.Layout, DB: p.s.DB, Stages: p.s.Stages, Trust: policy.Caches.Trust, Optimiser: p.s.OptimiserFor(policy), Held: true}
}
