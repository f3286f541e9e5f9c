package sessions

import (
	"context"
	"io"
	"slices"
	"sync"

	"troupe/messages"
	"troupe/storage/storepath"
)

// Logs opens the logs of builds.
type Logs interface {
	// FollowLog reads the log of a goal's build from its beginning to its end, as it
	// comes.
	FollowLog(ctx context.Context, goal messages.Address, drv storepath.Path) (io.ReadCloser, error)
}

// Progress knows what every goal does, and tells each client what is done for
// it. What it hears it only notes: nobody is kept waiting by a client that does
// not read.
type Progress struct {
	logs Logs

	mu       sync.Mutex // guards what follows
	goals    map[messages.Address]*goal
	watchers map[uint64]*watcher // by request
}

// goal is what is known of one that has not ended.
type goal struct {
	at       messages.Address
	drv      storepath.Path
	state    string
	machine  string // where it is built, if not here
	requests []uint64
	lost     chan struct{}         // closed when that machine is lost, and made anew; nil before it is built
	ended    chan struct{}         // closed at its end; nil before it is built
	result   *messages.Result      // nil before its end
	offer    *messages.GoalFetches // what it fetches, or is about to; nil before
}

// NewProgress makes one that knows of no goal.
func NewProgress(logs Logs) *Progress {
	return &Progress{logs: logs, goals: map[messages.Address]*goal{}, watchers: map[uint64]*watcher{}}
}

// Hear notes what goals say about themselves.
func (p *Progress) Hear(m messages.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m := m.(type) {
	case *messages.GoalWanted:
		p.wanted(p.goal(m.Goal), m.Requests)
	case *messages.GoalChanged:
		p.changed(p.goal(m.Goal), m)
	case *messages.GoalEnded:
		p.ended(p.goal(m.Goal), m)
	case *messages.HookStarted:
		p.each(p.goal(m.Goal), func(w *watcher) { w.hookStarts(m) })
	case *messages.HookLine:
		p.each(p.goal(m.Goal), func(w *watcher) { w.hookSays(m) })
	case *messages.HookEnded:
		p.each(p.goal(m.Goal), func(w *watcher) { w.hookEnds(m.Goal) })
	case *messages.GoalFetches:
		g := p.goal(m.Goal)
		g.offer = m
		p.each(g, func(w *watcher) { w.seeOffer(g) })
	case *messages.PathProgress:
		p.each(p.goal(m.Goal), func(w *watcher) { w.seeBytes(m) })
	case *messages.GoalWarned:
		p.each(p.goal(m.Goal), func(w *watcher) { w.warn(m.Text) })
	case *messages.SyncProgress:
		p.forget(m.Request)
	}
}

func (p *Progress) goal(at messages.Address) *goal {
	g := p.goals[at]
	if g == nil {
		g = &goal{at: at}
		p.goals[at] = g
	}
	return g
}

func (p *Progress) wanted(g *goal, requests []uint64) {
	for _, r := range requests {
		if slices.Contains(g.requests, r) {
			continue
		}
		g.requests = append(g.requests, r)
		if w := p.watchers[r]; w != nil && g.state != "" {
			w.seeOffer(g)
			w.see(g, g.state)
		}
	}
}

func (p *Progress) changed(g *goal, m *messages.GoalChanged) {
	g.drv, g.state, g.machine = m.Drv, m.State, m.Machine
	switch {
	case g.state == building && g.ended == nil:
		g.ended, g.lost = make(chan struct{}), make(chan struct{})
	case g.state == retrying && g.lost != nil:
		close(g.lost)
		g.lost = make(chan struct{})
	}
	p.each(g, func(w *watcher) { w.see(g, g.state) })
}

func (p *Progress) ended(g *goal, m *messages.GoalEnded) {
	g.result = &m.Result
	if g.drv.IsZero() {
		g.drv = m.Drv
	}
	if g.ended != nil {
		close(g.ended)
	}
	delete(p.goals, g.at)
	p.each(g, func(w *watcher) { w.seeEnd(g) })
}

func (p *Progress) each(g *goal, f func(*watcher)) {
	for _, r := range g.requests {
		if w := p.watchers[r]; w != nil {
			f(w)
		}
	}
}

// watch lets a request's goals be told to a client, from before it is made until
// it is answered and [messages.SyncProgress] is heard, or ctx ends.
func (p *Progress) watch(ctx context.Context, request uint64, targets []messages.Target, out *output) *watcher {
	w := newWatcher(ctx, p.logs, targets, out)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers[request] = w
	return w
}

// drop forgets a watcher whose client is gone.
func (p *Progress) drop(request uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(request)
}

func (p *Progress) forget(request uint64) {
	if w := p.watchers[request]; w != nil {
		w.finish()
		delete(p.watchers, request)
	}
}
