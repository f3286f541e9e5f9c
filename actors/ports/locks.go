package ports

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/rs/zerolog"

	"troupe/messages"
	"troupe/storage/pace"
	"troupe/storage/pathlock"
	"troupe/storage/storepath"
)

// Locks takes and gives back lock files beside store paths.
type Locks struct {
	out    Outbox
	real   func(storepath.Path) string
	spares *pathlock.Spares
	log    zerolog.Logger
	wg     sync.WaitGroup

	mu     sync.Mutex // guards owners
	owners map[messages.Address]*lockOwner
}

// lockOwner is what one owner has asked for. Its goroutine ends before its lock
// is given back.
type lockOwner struct {
	cancel context.CancelFunc
	done   chan struct{}  // closed when the goroutine has ended
	held   *pathlock.Held // nil unless it succeeded; set before done is closed
}

// NewLocks makes the locks port.
func NewLocks(out Outbox, s Services) *Locks {
	return &Locks{out: out, real: s.Layout.RealPath, spares: s.Spares, log: s.Log, owners: map[messages.Address]*lockOwner{}}
}

// Handle takes one message.
func (l *Locks) Handle(m messages.Message) {
	switch m := m.(type) {
	case *messages.TryLock:
		l.start(m.Owner, m.Paths, func(_ context.Context, files []string) (*pathlock.Held, error) {
			return l.spares.TryLock(files)
		})
	case *messages.AwaitLock:
		l.start(m.Owner, m.Paths, pathlock.Lock)
	case *messages.Unlock:
		l.unlock(m)
	default:
		panic(fmt.Sprintf("locks: unexpected %v", m))
	}
}

func (l *Locks) start(owner messages.Address, paths []storepath.Path, lock func(context.Context, []string) (*pathlock.Held, error)) {
	ctx, cancel := context.WithCancel(context.Background())
	o := &lockOwner{cancel: cancel, done: make(chan struct{})}
	l.mu.Lock()
	l.owners[owner] = o
	l.mu.Unlock()
	files := make([]string, len(paths))
	for i, p := range paths {
		files[i] = l.real(p)
	}
	l.begin(func() {
		held, err := lock(ctx, files)
		o.held = held
		close(o.done)
		if ctx.Err() != nil {
			return // nobody waits for the answer of a lock given back
		}
		if err != nil {
			l.forget(owner, o)
		}
		l.out.Send(messages.PathLocks, lockAnswer(owner, err))
	})
}

// begin does what may wait beside the rest.
func (l *Locks) begin(work func()) {
	l.wg.Add(1)
	pace.Go(func() {
		defer l.wg.Done()
		work()
	})
}

// forget drops an owner that got nothing.
func (l *Locks) forget(owner messages.Address, o *lockOwner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owners[owner] == o {
		delete(l.owners, owner)
	}
}

func lockAnswer(owner messages.Address, err error) messages.Message {
	var busy *pathlock.BusyError
	switch {
	case err == nil:
		return &messages.FilesLocked{Owner: owner}
	case errors.As(err, &busy):
		p, perr := storepath.ParseBase(filepath.Base(busy.Path))
		if perr != nil {
			return &messages.FilesFailed{Owner: owner, Reason: perr.Error()}
		}
		return &messages.FilesBusy{Owner: owner, Path: p}
	}
	return &messages.FilesFailed{Owner: owner, Reason: err.Error()}
}

func (l *Locks) unlock(m *messages.Unlock) {
	l.mu.Lock()
	o := l.owners[m.Owner]
	delete(l.owners, m.Owner)
	l.mu.Unlock()
	l.begin(func() {
		if o != nil {
			l.check(o.release())
		}
		l.out.Send(messages.PathLocks, &messages.FilesUnlocked{Owner: m.Owner})
	})
}

// check says in the log that a lock could not be given back. Nothing else is
// left to do: it goes with the process at the latest.
func (l *Locks) check(err error) {
	if err != nil {
		l.log.Warn().Err(err).Msg("release path locks")
	}
}

// release gives the files back and removes them; whoever waits for one finds by
// its mark that it has to make a new one.
func (o *lockOwner) release() error {
	o.cancel()
	<-o.done
	if o.held == nil {
		return nil
	}
	return o.held.Release(true)
}

// Close gives everything back.
func (l *Locks) Close() {
	l.mu.Lock()
	owners := l.owners
	l.owners = map[messages.Address]*lockOwner{}
	l.mu.Unlock()
	for _, o := range owners {
		l.check(o.release())
	}
	l.wg.Wait()
	l.check(l.spares.Close())
}
