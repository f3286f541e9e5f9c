package gc

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
)

// FreeSpace is how many bytes an ordinary user could still write to the store's
// file system.
func FreeSpace(l localstore.Layout) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(l.RealStoreDir(), &st); err != nil {
		return 0, fmt.Errorf("look at the space of '%s': %w", l.RealStoreDir(), err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// Auto collects while builds run when space is short. Its zero value is ready.
type Auto struct {
	mu      sync.Mutex // guards what follows
	running bool
	left    uint64 // bytes that were free after the last one, 0 if there was none
}

// Limits of free space, in bytes: below Min a collection begins, which ends when
// Max are free.
type Limits struct{ Min, Max uint64 }

// Collect deletes what is dead if fewer than limits.Min bytes are free, until
// limits.Max are; ran is false if there was no need, or one is under way already.
// One that was of no use is not tried again before space has become less.
func (a *Auto) Collect(ctx context.Context, c *Collector, free uint64, limits Limits, o Options) (result Result, ran bool, err error) {
	if !a.begin(free, limits) {
		return Result{}, false, nil
	}
	o.Action, o.MaxFreed = DeleteDead, limits.Max-free
	o.say("running auto-GC to free %d bytes", o.MaxFreed)
	result, err = c.Collect(ctx, o)
	left, serr := FreeSpace(c.Layout)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running, a.left = false, left
	if err == nil {
		err = serr
	}
	return result, true, err
}

// worthwhile is the part of what the last collection left that has to be left at
// most for another one: dead paths do not grow by themselves.
const worthwhile = 0.97

func (a *Auto) begin(free uint64, limits Limits) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running || free >= limits.Min || free >= limits.Max {
		return false
	}
	if a.left > 0 && float64(free) > worthwhile*float64(a.left) {
		return false
	}
	a.running = true
	return true
}
