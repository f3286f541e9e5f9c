package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// A Stall ends a request that waits too long for its server. Only the time in which we wait for the server counts.
type Stall struct {
	timer   *time.Timer // nil without a limit
	limit   time.Duration
	least   int64 // bytes that must come before limit has passed
	came    int64 // in this window
	left    time.Duration
	waiting time.Time // since when
}

// NewStall cancels a request when fewer than speed bytes a second, and at least one byte, have come over a wait of
// limit; 0 is no limit. The wait begins now.
func NewStall(limit time.Duration, speed int64, cancel context.CancelCauseFunc) *Stall {
	if limit == 0 {
		return &Stall{}
	}
	s := &Stall{limit: limit, left: limit, waiting: time.Now(), least: max(1, int64(limit.Seconds()*float64(speed)))}
	gone := fmt.Errorf("nothing came for %v", limit)
	if s.least > 1 {
		gone = fmt.Errorf("fewer than %d bytes came in %v", s.least, limit)
	}
	s.timer = time.AfterFunc(limit, func() { cancel(gone) })
	return s
}

// Wait says that from now on we wait for the server.
func (s *Stall) Wait() {
	if s.timer != nil {
		s.waiting = time.Now()
		s.timer.Reset(s.left)
	}
}

// Came says that n bytes came, and that we do not wait now.
func (s *Stall) Came(n int) {
	if s.timer == nil {
		return
	}
	s.timer.Stop()
	s.left = max(s.left-time.Since(s.waiting), 1)
	if s.came += int64(n); s.came >= s.least {
		s.left, s.came = s.limit, 0
	}
}

// Stop ends the watch.
func (s *Stall) Stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// Body reads an answer under a watch, and keeps the network's own error apart from those of whoever reads.
type Body struct {
	Reader io.Reader
	Stall  *Stall
	Err    error // of the network; nil at a regular end
}

func (b *Body) Read(p []byte) (int, error) {
	b.Stall.Wait()
	n, err := b.Reader.Read(p)
	b.Stall.Came(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.Err = err
	}
	return n, err
}
