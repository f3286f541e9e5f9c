package sessions

import (
	"context"
	"strings"
	"sync"
	"time"

	"troupe/messages"
	"troupe/messages/workerproto"
)

// watcher tells one client what is done for one request.
type watcher struct {
	ctx     context.Context
	logs    Logs
	out     *output
	tops    map[messages.GoalKey]bool // whose failures the answer has
	realise uint64                    // activities
	copies  uint64
	builds  uint64

	hooks     map[messages.Address]uint64 // activities; belongs to tell
	following sync.WaitGroup              // one for each build
	ending    chan struct{}               // closed when nothing more will be heard
	over      chan struct{}               // closed when all that was heard is told

	mu     sync.Mutex // guards what follows
	queue  []func()   // to be told; at most a few for each goal
	wake   chan struct{}
	counts counts
	need   map[messages.Address]bool // goals that need a build
	runs   map[messages.Address]bool // those whose builder was started
	copied copies
	closed bool
}

// counts are what a client's progress bar shows of builds.
type counts struct{ done, open, running, failed uint64 }

func newWatcher(ctx context.Context, logs Logs, targets []messages.Target, out *output) *watcher {
	w := &watcher{ctx: ctx, logs: logs, out: out, tops: map[messages.GoalKey]bool{}, ending: make(chan struct{}), over: make(chan struct{}),
		wake: make(chan struct{}, 1), hooks: map[messages.Address]uint64{}, need: map[messages.Address]bool{}, runs: map[messages.Address]bool{},
		copied: copies{open: map[messages.Address]*copying{}}}
	for _, t := range targets {
		w.tops[t.Key()] = true
	}
	out.together(func() {
		w.realise = out.start(workerproto.StartActivity{Type: workerproto.ActRealise})
		w.copies = out.start(workerproto.StartActivity{Type: workerproto.ActCopyPaths})
		w.builds = out.start(workerproto.StartActivity{Type: workerproto.ActBuilds})
	})
	go w.tell()
	return w
}

// tellEvery is how long what there is to tell waits for more.
const tellEvery = 5 * time.Millisecond

// tell performs what is queued, one after the other, and all of it at once.
func (w *watcher) tell() {
	defer close(w.over)
	for range w.wake {
		w.mu.Lock()
		queue, closed := w.queue, w.closed
		w.queue = nil
		w.mu.Unlock()
		w.out.together(func() {
			for _, f := range queue {
				f()
			}
		})
		if closed {
			return
		}
		select {
		case <-time.After(tellEvery):
		case <-w.ending:
		}
	}
}

// post queues something to be told; under mu.
func (w *watcher) post(f func()) {
	w.queue = append(w.queue, f)
	w.ring()
}

func (w *watcher) ring() {
	select {
	case w.wake <- struct{}{}:
	default: // it is about to look
	}
}

// see notes that a goal has come into another state.
func (w *watcher) see(g *goal, now string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if g.at.IsFetch() {
		w.seeFetch(g, now)
		return
	}
	if messages.NeedsBuild(g.at, now) && !w.need[g.at] {
		w.need[g.at] = true
		w.counts.open++
		w.report()
	}
	if now == building && !w.runs[g.at] {
		w.runs[g.at] = true
		w.counts.running++
		w.report()
		w.following.Add(1)
		go w.follow(g, g.drv, g.machine, g.lost)
	}
	if now == retrying && w.runs[g.at] {
		delete(w.runs, g.at)
		w.counts.running--
		w.report()
	}
}

// The states in which a builder runs, and in which it did on a machine that was
// lost.
const (
	building = "building"
	retrying = "retrying"
)

// seeEnd notes that a goal has ended.
func (w *watcher) seeEnd(g *goal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.seeFetchEnd(g)
	failed := !g.result.Status.OK() && g.result.Status != messages.Cancelled
	if w.need[g.at] {
		delete(w.need, g.at)
		w.counts.open--
		switch {
		case failed:
			w.counts.failed++
		case g.result.Status == messages.Built:
			w.counts.done++
		}
	}
	if w.runs[g.at] {
		delete(w.runs, g.at)
		w.counts.running--
	}
	if !g.at.IsFetch() {
		w.report()
	}
	if messages.Shown(g.at, *g.result) && !w.tops[keyOf(g.at)] {
		text := g.result.Error
		w.post(func() { w.out.fail(text) })
	}
}

func (w *watcher) warn(text string) { w.queueUp(func() { w.out.warn(text) }) }

// queueUp queues something to be told.
func (w *watcher) queueUp(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.post(f)
}

// keyOf is the key in a goal's address, which may be numbered.
func keyOf(at messages.Address) messages.GoalKey {
	key, _, _ := strings.Cut(string(at), "~")
	return messages.GoalKey(key)
}

// report queues the state of all builds; under mu.
func (w *watcher) report() {
	c := w.counts
	w.post(func() {
		w.out.result(w.builds, workerproto.ResProgress, workerproto.Number(c.done), workerproto.Number(c.done+c.open),
			workerproto.Number(c.running), workerproto.Number(c.failed))
	})
}

// finish is told that nothing more will come.
func (w *watcher) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	close(w.ending)
	w.ring()
}

// wait returns when all is told.
func (w *watcher) wait() {
	<-w.over
	w.following.Wait()
	w.out.together(func() {
		w.out.stop(w.builds)
		w.out.stop(w.copies)
		w.out.stop(w.realise)
	})
}
