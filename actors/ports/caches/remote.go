package caches

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"troupe/actors/ports/remotestore"
	"troupe/storage/binarycache"
	"troupe/storage/narinfo"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
	"troupe/storage/transfer"
)

// remoteSource is a store of another process or machine.
type remoteSource struct {
	store  remotestore.Any
	config remotestore.Config
	stall  time.Duration // without a byte; 0 waits for ever

	mu      sync.Mutex // guards breaker
	breaker binarycache.Breaker
}

// lookUpLimit is how long one look-up may take, as with binary caches.
const lookUpLimit = 30 * time.Second

func (s *remoteSource) String() string { return s.store.String() }

// Describe connects.
func (s *remoteSource) Describe(ctx context.Context) (binarycache.Description, error) {
	d := binarycache.Description{StoreDir: s.store.Dir()}
	if s.config.Priority != nil {
		d.Priority = *s.config.Priority
	}
	if s.config.WantMassQuery != nil {
		d.WantMassQuery = *s.config.WantMassQuery
	}
	return d, s.ask(ctx, s.store.Reach)
}

func (s *remoteSource) Info(ctx context.Context, p storepath.Path) (info narinfo.Info, found bool, err error) {
	err = s.ask(ctx, func(ctx context.Context) error {
		record, has, err := s.store.Info(ctx, p)
		found = has
		info = narinfo.Info{Path: p, NarHash: record.NarHash, NarSize: record.NarSize, References: record.References, Deriver: record.Deriver,
			Signatures: record.Signatures, CA: record.CA}
		return err
	})
	return info, found, err
}

func (s *remoteSource) Realisation(ctx context.Context, id realisation.ID) (r realisation.Realisation, found bool, err error) {
	err = s.ask(ctx, func(ctx context.Context) (err error) {
		r, found, err = s.store.Realisation(ctx, id)
		return err
	})
	return r, found, err
}

// ask performs a look-up.
func (s *remoteSource) ask(ctx context.Context, f func(context.Context) error) error {
	return s.guarded(ctx, func() error {
		limited, cancel := context.WithTimeoutCause(ctx, lookUpLimit, fmt.Errorf("'%s' does not answer within %v", s, lookUpLimit))
		defer cancel()
		return f(limited)
	})
}

// guarded lets f speak with the store, unless that has failed too often. A store that
// answers is well, whatever it says.
func (s *remoteSource) guarded(ctx context.Context, f func() error) error {
	s.mu.Lock()
	ticket, ok := s.breaker.Ask(time.Now())
	status := s.breaker.Status()
	s.mu.Unlock()
	if !ok {
		return &binarycache.Error{Cache: s.String(), Class: binarycache.Disabled, Status: status,
			Err: fmt.Errorf("substituter '%s' is disabled until %s: it has not answered since %s", s, status.Until.Format(time.TimeOnly), status.Since.Format(time.TimeOnly))}
	}
	err := f()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		s.breaker.Abandoned(ticket)
	case remotestore.IsLost(err) || errors.Is(err, context.DeadlineExceeded):
		s.breaker.Failed(ticket, time.Now())
	default:
		s.breaker.Succeeded()
	}
	return err
}

// fetch begins to fetch. A store that gives nothing for a while is given up.
func (s *remoteSource) fetch(ctx context.Context, info narinfo.Info) (archive, error) {
	own, end := context.WithCancelCause(ctx)
	r, w := io.Pipe()
	a := &remoteArchive{pipe: r, end: end, done: make(chan struct{})}
	to := &watched{to: w, received: &a.received, stall: transfer.NewStall(s.stall, 0, end)}
	go func() {
		defer close(a.done)
		err := s.guarded(ctx, func() error {
			err := s.store.NAR(own, info.Path, to)
			to.stall.Stop()
			if cause := context.Cause(own); cause != nil && !errors.Is(cause, context.Canceled) {
				err = &remotestore.LostError{Store: fmt.Sprintf("'%s'", s), Err: cause}
			}
			return err
		})
		w.CloseWithError(err) // nil is io.EOF
	}()
	return a, nil
}

// remoteArchive is an archive that another goroutine receives.
type remoteArchive struct {
	pipe     *io.PipeReader
	received atomic.Int64
	end      context.CancelCauseFunc
	done     chan struct{} // closed when nobody receives any more
}

func (a *remoteArchive) Read(b []byte) (int, error) { return a.pipe.Read(b) }
func (a *remoteArchive) Received() int64            { return a.received.Load() }

func (a *remoteArchive) Close() error {
	a.end(context.Canceled)
	err := a.pipe.Close()
	<-a.done
	return err
}

// watched counts what goes through it. Only while it waits for the store the store is
// watched.
type watched struct {
	to       io.Writer
	received *atomic.Int64
	stall    *transfer.Stall
}

func (w *watched) Write(b []byte) (int, error) {
	w.stall.Came(len(b))
	w.received.Add(int64(len(b)))
	n, err := w.to.Write(b)
	w.stall.Wait()
	return n, err
}
