package caches

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"troupe/storage/binarycache"
)

// A cache is used once it has said what it is. Nobody waits longer than patience
// for that, and nobody waits who comes after it has failed: what has no network
// is not kept waiting by a cache of the defaults. It is asked again pause after
// that, while it is done without.
const (
	patience = 5 * time.Second
	pause    = 15 * time.Second
)

// introduction is how far a cache is known.
type introduction struct {
	mu     sync.Mutex // guards what follows
	known  *binarycache.Description
	asking *question // the one under way, or nil
	failed error     // of the last question
	again  time.Time // when it may be asked again
	told   bool      // somebody was told of what failed
}

// question is what a cache is asked once.
type question struct {
	since    time.Time
	answered chan struct{} // closed when it is
}

var errSilent = errors.New("it does not answer")

// introduce is what a cache says it is. The error is why it is done without.
func (s *Substituter) introduce(ctx context.Context) (binarycache.Description, error) {
	if !s.remote {
		return s.Describe(ctx)
	}
	known, asking, err := s.intro.state(s.ask)
	if asking == nil {
		return describedOr(known, err)
	}
	timer := time.NewTimer(time.Until(asking.since.Add(patience)))
	defer timer.Stop()
	select {
	case <-asking.answered:
		known, _, err = s.intro.state(s.ask)
		return describedOr(known, err)
	case <-timer.C:
		return binarycache.Description{}, errSilent
	case <-ctx.Done():
		return binarycache.Description{}, context.Cause(ctx)
	}
}

func describedOr(d *binarycache.Description, err error) (binarycache.Description, error) {
	if d == nil {
		return binarycache.Description{}, err
	}
	return *d, nil
}

// state is what is known of the cache. A question that is returned is the first one
// and is to be waited for. Where it is time, ask begins another one.
func (i *introduction) state(ask func(*question)) (*binarycache.Description, *question, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known == nil && i.asking == nil && time.Now().After(i.again) {
		i.asking = &question{time.Now(), make(chan struct{})}
		ask(i.asking)
	}
	if i.known != nil || i.failed != nil {
		return i.known, nil, i.failed
	}
	return nil, i.asking, nil
}

// ask asks the cache what it is.
func (s *Substituter) ask(q *question) {
	s.running.Go(func() {
		ctx, giveUp := context.WithCancelCause(s.ctx)
		defer giveUp(nil)
		d, err := s.Describe(context.WithValue(ctx, giveUpKey{}, giveUp))
		s.intro.mu.Lock()
		defer s.intro.mu.Unlock()
		s.intro.asking, s.intro.again = nil, time.Now().Add(pause)
		if err == nil {
			s.intro.known, s.intro.failed, s.intro.told = &d, nil, false
		} else {
			s.intro.failed = err
		}
		close(q.answered)
	})
}

// complaint is what to tell of a cache that is done without, if it is; once. Who calls it
// tells.
func (s *Substituter) complaint(err error) string {
	s.intro.mu.Lock()
	defer s.intro.mu.Unlock()
	if err == nil || s.intro.told || errors.Is(err, context.Canceled) {
		return ""
	}
	s.intro.told = true
	return fmt.Sprintf("substituter '%s' is not used: %v", s, err)
}

// giveUpKey finds in a context what ends a question to which there can be no answer.
type giveUpKey struct{}

// dial connects. A host that nobody knows, or to which there is no way, is not
// tried again by who only wants to know whether it is there.
func dial(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: timeout}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if giveUp, ok := ctx.Value(giveUpKey{}).(context.CancelCauseFunc); ok && err != nil && hopeless(err) {
			giveUp(err)
		}
		return conn, err
	}
}

func hopeless(err error) bool {
	var name *net.DNSError
	return errors.As(err, &name) && name.IsNotFound || errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH)
}
