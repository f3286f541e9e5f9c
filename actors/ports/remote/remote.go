// Package remote has the builds that other machines make: it asks build hooks and
// runs what they accept (the hooks port), and drives machines itself.
package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"troupe/actors/ports"
	"troupe/messages"
)

// Remote is the hooks port, and whoever builds elsewhere.
type Remote struct {
	out ports.Outbox
	s   ports.Services

	mu     sync.Mutex // guards what follows
	asked  map[messages.Address]*asked
	idle   []*hook              // from the oldest to the newest
	barred map[string]time.Time // by key: hooks that want to be asked nothing more, until then
	closed bool
	work   sync.WaitGroup // what asks hooks, and starts them

	machines machines
}

// asked is what a hook is being asked, or has accepted.
type asked struct {
	question uint64
	dropped  bool
	hook     *hook // that thinks, or waits for its build
	accepted bool
}

// idleHooks is how many hooks are kept that nobody asks anything, and idleTime for
// how long.
const (
	idleHooks = 8
	idleTime  = 30 * time.Second
)

// barredFor is for how long a hook is believed that wants to be asked nothing more:
// the settings that it read may change.
const barredFor = time.Minute

// New makes the port.
func New(out ports.Outbox, s ports.Services) *Remote {
	return &Remote{out: out, s: s, asked: map[messages.Address]*asked{}, barred: map[string]time.Time{}}
}

// Handle takes one message.
func (r *Remote) Handle(m messages.Message) {
	switch m := m.(type) {
	case *messages.AskHook:
		a := &asked{question: m.Question}
		r.mu.Lock()
		r.asked[m.Goal] = a
		r.mu.Unlock()
		r.work.Go(func() { r.answer(m, a) }) // as many as slots asks at a time
	case *messages.DropHook:
		r.drop(m)
	default:
		panic(fmt.Sprintf("hooks: unexpected %v", m))
	}
}

// drop ends what was asked. A hook that builds is not among what was asked.
func (r *Remote) drop(m *messages.DropHook) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.asked[m.Goal]
	if a == nil || a.question != m.Question {
		return
	}
	delete(r.asked, m.Goal)
	a.dropped = true
	if a.hook != nil {
		r.discard(a.hook)
	}
}

// discard kills a hook without waiting for it; under mu.
func (r *Remote) discard(k *hook) {
	r.work.Go(func() { r.warn(k.kill(), "end build hook") })
}

func (r *Remote) warn(err error, what string) {
	if err != nil {
		r.s.Log.Warn().Err(err).Msg(what)
	}
}

// answer asks a hook, and tells what it says.
func (r *Remote) answer(m *messages.AskHook, a *asked) {
	reply := r.ask(m, a)
	reply.Goal, reply.Question = m.Goal, m.Question
	if reply.Reply != messages.HookAccepts {
		r.mu.Lock()
		if r.asked[m.Goal] == a {
			delete(r.asked, m.Goal)
		}
		r.mu.Unlock()
	}
	if reply.Reply == messages.HookDeclines && reply.Reason != "" {
		r.s.Log.Warn().Str("goal", string(m.Goal)).Msg(reply.Reason)
		r.out.Send(messages.Progress, &messages.GoalWarned{Goal: m.Goal, Text: reply.Reason})
	}
	r.out.Send(messages.Slots, reply)
}

// ask finds out what a hook says to a derivation. One that cannot be asked is as if
// it had declined.
func (r *Remote) ask(m *messages.AskHook, a *asked) *messages.HookReplied {
	declined := func(err error) *messages.HookReplied { return &messages.HookReplied{Reason: err.Error()} }
	q, h, env, err := r.question(m)
	if err != nil {
		return declined(err)
	}
	key := keyOf(h)
	if r.isBarred(key) {
		return &messages.HookReplied{}
	}
	k, err := r.hook(h, key, env)
	if err != nil {
		return declined(err)
	}
	if !r.begin(a, k) {
		return &messages.HookReplied{}
	}
	reply, machine, err := k.ask(q, answerTime, func(line string) {
		r.out.Send(messages.Progress, &messages.GoalWarned{Goal: m.Goal, Text: line})
	})
	return r.replied(a, k, reply, machine, err, env)
}

// begin notes which hook thinks about a question, unless it was dropped.
func (r *Remote) begin(a *asked, k *hook) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.dropped || r.closed {
		r.discard(k)
		return false
	}
	a.hook = k
	return true
}

func (r *Remote) replied(a *asked, k *hook, reply, machine string, err error, env []string) *messages.HookReplied {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.dropped { // and the hook is killed
		return &messages.HookReplied{}
	}
	if reply == "accept" {
		a.accepted = true
		r.startAhead(k.Hook, k.key, env)
		return &messages.HookReplied{Reply: messages.HookAccepts, Machine: machine}
	}
	a.hook = nil
	var lies *liesError
	switch {
	case errors.As(err, &lies):
		r.discard(k)
		return &messages.HookReplied{Reply: messages.HookLies, Reason: err.Error()}
	case err != nil:
		r.discard(k)
		return &messages.HookReplied{Reason: err.Error()}
	case reply == forGood:
		r.discard(k)
		r.barred[k.key] = time.Now().Add(barredFor)
		return &messages.HookReplied{}
	}
	r.keep(k)
	if reply == "postpone" {
		return &messages.HookReplied{Reply: messages.HookPostpones}
	}
	return &messages.HookReplied{}
}

func (r *Remote) isBarred(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	until, barred := r.barred[key]
	if barred && time.Now().After(until) {
		delete(r.barred, key)
		return false
	}
	return barred
}

// keep keeps a hook for the next question; under mu.
func (r *Remote) keep(k *hook) {
	k.since = time.Now()
	r.idle = append(r.idle, k)
	if len(r.idle) > idleHooks || r.closed {
		r.discard(r.idle[0])
		r.idle = r.idle[1:]
	}
}

// startAhead starts a hook for the next question, if none waits for it; under mu.
func (r *Remote) startAhead(h ports.Hook, key string, env []string) {
	for _, k := range r.idle {
		if k.key == key {
			return
		}
	}
	if r.closed {
		return
	}
	r.work.Go(func() {
		k, err := start(h, key, env)
		if err != nil {
			return // whoever needs it is told when it fails again
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.keep(k)
	})
}

// hook finds one that waits, or starts it.
func (r *Remote) hook(h ports.Hook, key string, env []string) (*hook, error) {
	r.mu.Lock()
	for i := len(r.idle) - 1; i >= 0; i-- {
		k := r.idle[i]
		old := time.Since(k.since) > idleTime
		if !old && k.key != key {
			continue
		}
		r.idle = append(r.idle[:i:i], r.idle[i+1:]...)
		if old || k.ended() {
			r.discard(k)
			continue
		}
		r.mu.Unlock()
		return k, nil
	}
	r.mu.Unlock()
	return start(h, key, env)
}

func (k *hook) ended() bool {
	select {
	case <-k.over:
		return true
	default:
		return false
	}
}

// Engage implements [ports.Elsewhere].
func (r *Remote) Engage(ctx context.Context, w ports.Work) (ports.Engagement, error) {
	if w.Place.Machine != "" {
		return r.engageMachine(ctx, w)
	}
	r.mu.Lock()
	a := r.asked[w.Build]
	delete(r.asked, w.Build)
	r.mu.Unlock()
	if a == nil || !a.accepted {
		return nil, fmt.Errorf("build '%s' by a hook: it was let go", r.s.Layout.Dir.Join(w.Path))
	}
	return &hookBuild{r: r, k: a.hook, Work: w}, nil
}

// Close ends all hooks that do not build.
func (r *Remote) Close() {
	r.mu.Lock()
	r.closed = true
	for _, k := range r.idle {
		r.discard(k)
	}
	r.idle = nil
	for _, a := range r.asked {
		if a.dropped = true; a.hook != nil {
			r.discard(a.hook)
		}
	}
	r.asked = map[messages.Address]*asked{}
	r.mu.Unlock()
	r.work.Wait()
	r.machines.close(r)
}
