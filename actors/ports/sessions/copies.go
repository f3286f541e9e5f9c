package sessions

import (
	"troupe/messages"
	"troupe/messages/workerproto"
)

// copies are what a client's progress bar shows of paths that are fetched.
type copies struct {
	counts
	open                  map[messages.Address]*copying
	narSize, downloadSize uint64 // bytes of all that was or will be fetched
	reported              bool   // all this is about to be told
}

// copying is one path that is fetched, or about to be.
type copying struct {
	offer   *messages.GoalFetches
	running bool
	told    bool                   // its newest progress was told
	newest  *messages.PathProgress // nil before there is any

	substitute, copy uint64 // activities; belong to tell
}

// seeOffer notes what a goal is about to fetch. It may be the second time, from
// another substituter.
func (w *watcher) seeOffer(g *goal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || g.offer == nil {
		return
	}
	c := w.copied.open[g.at]
	if c == nil {
		c = &copying{offer: &messages.GoalFetches{}}
		w.copied.open[g.at] = c
		w.copied.counts.open++
	}
	w.copied.narSize += g.offer.NarSize - c.offer.NarSize
	w.copied.downloadSize += g.offer.Download - c.offer.Download
	c.offer = g.offer
	w.reportCopies()
}

// seeFetch notes that a fetch began, or is over; under mu.
func (w *watcher) seeFetch(g *goal, now string) {
	c := w.copied.open[g.at]
	if c == nil || c.running == (now == "fetching") {
		return
	}
	if c.running {
		w.stopCopy(c)
		w.reportCopies()
		return
	}
	c.running, c.newest = true, nil
	w.copied.running++
	offer := c.offer
	w.post(func() { w.startCopy(c, offer) })
	w.reportCopies()
}

// startCopy begins the two activities that Nix has for a path.
func (w *watcher) startCopy(c *copying, offer *messages.GoalFetches) {
	path, from := workerproto.Text(w.out.d.Dir.Join(offer.Path)), workerproto.Text(offer.Cache)
	c.substitute = w.out.start(workerproto.StartActivity{Type: workerproto.ActSubstitute, Fields: []workerproto.Field{path, from}})
	c.copy = w.out.start(workerproto.StartActivity{Level: workerproto.LevelInfo, Type: workerproto.ActCopyPath, Parent: c.substitute,
		Text:   "copying path '" + w.out.d.Dir.Join(offer.Path) + "' from '" + offer.Cache + "'",
		Fields: []workerproto.Field{path, from, workerproto.Text("local")}})
}

// stopCopy is under mu.
func (w *watcher) stopCopy(c *copying) {
	c.running = false
	w.copied.running--
	w.post(func() {
		w.out.stop(c.copy)
		w.out.stop(c.substitute)
	})
}

// seeBytes notes how far a fetch is. Only the newest is told: a client that reads
// slowly does not get all.
func (w *watcher) seeBytes(m *messages.PathProgress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.copied.open[m.Goal]
	if w.closed || c == nil || !c.running {
		return
	}
	waits := c.newest != nil && !c.told
	c.newest, c.told = m, false
	if waits {
		return
	}
	total := c.offer.NarSize
	w.post(func() {
		w.mu.Lock()
		done := c.newest.Unpacked
		c.told = true
		w.mu.Unlock()
		w.out.result(c.copy, workerproto.ResProgress, workerproto.Number(done), workerproto.Number(total), workerproto.Number(0), workerproto.Number(0))
	})
}

// seeFetchEnd notes that a goal has ended; under mu.
func (w *watcher) seeFetchEnd(g *goal) {
	c := w.copied.open[g.at]
	if c == nil {
		return
	}
	if c.running {
		w.stopCopy(c)
	}
	delete(w.copied.open, g.at)
	w.copied.counts.open--
	switch {
	case g.result.Status == messages.Substituted:
		w.copied.done++
	case g.result.Flaw&messages.SubstituterFailed != 0:
		w.copied.failed++
		fallthrough
	default:
		w.copied.narSize -= c.offer.NarSize
		w.copied.downloadSize -= c.offer.Download
	}
	w.reportCopies()
}

// reportCopies has the state of all fetches told, the newest where it changes again
// before; under mu.
func (w *watcher) reportCopies() {
	if w.copied.reported {
		return
	}
	w.copied.reported = true
	w.post(func() {
		w.mu.Lock()
		c := w.copied
		w.copied.reported = false
		w.mu.Unlock()
		w.out.result(w.copies, workerproto.ResProgress, workerproto.Number(c.done), workerproto.Number(c.done+c.counts.open),
			workerproto.Number(c.running), workerproto.Number(c.failed))
		w.out.result(w.realise, workerproto.ResSetExpected, workerproto.Number(uint64(workerproto.ActCopyPath)), workerproto.Number(c.narSize))
		w.out.result(w.realise, workerproto.ResSetExpected, workerproto.Number(uint64(workerproto.ActFileTransfer)), workerproto.Number(c.downloadSize))
	})
}
