package remotestore

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// pulse is a wire of which is known for how long we have waited for it.
type pulse struct {
	wire

	mu    sync.Mutex // guards what follows
	calls int        // reads and writes under way
	since time.Time  // when one began or ended last
}

func (p *pulse) Read(b []byte) (int, error) {
	p.call(1)
	defer p.call(-1)
	return p.wire.Read(b)
}

func (p *pulse) Write(b []byte) (int, error) {
	p.call(1)
	defer p.call(-1)
	return p.wire.Write(b)
}

func (p *pulse) call(more int) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls += more
	p.since = now
}

// waited is for how long nothing has come or gone though it should: where nobody
// reads or writes, it is not the wire that is waited for.
func (p *pulse) waited(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == 0 {
		return 0
	}
	return now.Sub(p.since)
}

// looks is how often within a limit it is looked whether it has passed.
const looks = 8

// Watched runs f, and gives the connection up when the store neither says nor takes
// anything for that long meanwhile; 0 waits for ever. The error of what f asks is a
// [*LostError] then. A builder may be silent for hours: what waits for one is not for here.
func (c *Conn) Watched(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	if limit <= 0 {
		return f(ctx)
	}
	ctx, give := context.WithCancelCause(ctx)
	defer give(nil)
	c.pulse.call(0) // what was before does not count
	go func() {
		tick := time.NewTicker(max(limit/looks, 1))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				if c.pulse.waited(now) >= limit {
					give(&LostError{c.store, fmt.Errorf("nothing came from there and nothing went there for %v", limit)})
				}
			}
		}
	}()
	return f(ctx)
}
