package ports

import (
	"os"
	"sync"
	"time"

	"troupe/storage/localstore"
)

// rubbish is what is still to be done with builds that are over and that nobody
// waits for: their directories are removed and their logs compressed while the
// next ones run.
type rubbish struct {
	busy    chan struct{} // as deep as what may be under way
	pending sync.WaitGroup
}

// rubbishAtOnce bounds what is under way. Where builds leave more than can be
// removed beside them, their end waits for it.
const rubbishAtOnce = 16

// rubbishPause is how long directories of a build stay at least. Its successor is
// being prepared meanwhile, in the same directories of the disk, whose locks it
// would have to wait for; in a moment its builder runs and we have nothing to do.
const rubbishPause = 4 * time.Millisecond

func newRubbish() rubbish { return rubbish{busy: make(chan struct{}, rubbishAtOnce)} }

// later does some work after a pause, and closes done after it.
func (r *rubbish) later(pause time.Duration, work func()) (done <-chan struct{}) {
	end := make(chan struct{})
	select {
	case r.busy <- struct{}{}:
		r.pending.Go(func() {
			defer func() { <-r.busy }()
			defer close(end)
			time.Sleep(pause)
			work()
		})
	default:
		work()
		close(end)
	}
	return end
}

// endLog closes a build's log, once no more comes.
func (p *Builds) endLog(b *build) {
	if b.log != nil && b.logEnded == nil {
		b.logEnded = p.rubbish.later(0, func() { p.warn(b.log.Close(), "close build log") })
	}
}

// clean ends a build's log and removes its directories. What cannot be removed
// is said in the log of the service; it is tried again at the next start. What
// lies in the store is removed before this returns.
func (p *Builds) clean(b *build, failed bool) {
	p.endLog(b)
	if b.log != nil && b.log.Size() == 0 {
		<-b.logEnded // there is nothing else to read until then
	}
	if b.engagement != nil {
		p.warn(b.engagement.Close(), "end build elsewhere")
		return // what is not valid is removed before the next try
	}
	p.removeDirs(b, failed)
	if b.places.Store == "" && b.drv != nil {
		p.removeRedirected(b)
		if failed {
			p.removeScratch(b)
		}
	}
}

// removeDirs removes, in a while, the directories of a build, or makes its box
// ready for another. From now on nobody but the service can enter them: the
// build's user is about to be another's.
func (p *Builds) removeDirs(b *build, failed bool) {
	switch {
	case b.dir == "" && b.places.Store == "":
	case b.places.Store == "":
		p.warn(os.Chmod(b.dir, 0o700), "close build directory")
		p.rubbish.later(rubbishPause, func() { p.removeDir(b.dir) })
	case !failed && b.recyclable(p.s.Layout.RealStoreDir()):
		p.rubbish.later(rubbishPause, func() { p.recycle(b.box) })
	default:
		p.rubbish.later(rubbishPause, func() { p.removeBox(&box{dir: b.dir, store: b.places.Store}) })
	}
}

func (p *Builds) removeBox(x *box) {
	p.removeDir(x.dir)
	p.removeDir(x.store)
}

func (p *Builds) removeDir(dir string) {
	if dir != "" {
		_, err := localstore.Remove(dir)
		p.warn(err, "remove directory of a build")
	}
}
