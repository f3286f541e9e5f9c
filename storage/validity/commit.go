package validity

import (
	"context"
	"fmt"
	"runtime"

	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/storepath"
)

// Pending returns what a commit of the paths would write: those of them that
// are provisional, what was registered along with them, and all provisional
// paths that these refer to. Their contents are to be on disk before
// [DB.Commit]. The order is not defined.
func (db *DB) Pending(paths ...storepath.Path) []storepath.Path {
	db.overlay.mu.RLock()
	defer db.overlay.mu.RUnlock()
	set := map[*unit]struct{}{}
	for _, p := range paths {
		db.overlay.units(p, set)
	}
	var out []storepath.Path
	for u := range set {
		for _, i := range u.reg.Paths {
			out = append(out, i.Path)
		}
	}
	return out
}

// Provisional reports whether a path is valid and a crash would lose it.
func (db *DB) Provisional(p storepath.Path) bool {
	db.overlay.mu.RLock()
	defer db.overlay.mu.RUnlock()
	return db.overlay.infos[p] != nil
}

// group is the commits that wait for one batch.
type group struct {
	members []*member
	done    chan struct{}
}

type member struct {
	paths []storepath.Path
	err   error
}

// Commit makes the paths durable, with what [DB.Pending] says of them, in one
// batch that it shares with all commits that wait at the same moment; it
// returns when the batch is synced. A path that is durable already is well; one
// that is not valid at all is a [*NotValidError]. When ctx ends first the
// commit still happens.
func (db *DB) Commit(ctx context.Context, paths ...storepath.Path) error {
	m := &member{paths: paths}
	db.queue.Lock()
	leads := db.next == nil
	if leads {
		db.next = &group{done: make(chan struct{})}
	}
	g := db.next
	g.members = append(g.members, m)
	db.queue.Unlock()
	if leads {
		go db.commitNext()
	}
	select {
	case <-g.done:
		return m.err
	case <-ctx.Done():
		return fmt.Errorf("commit %d paths: %w", len(paths), context.Cause(ctx))
	}
}

// commitNext closes the group once the batch before it is synced. The wait is
// what lets a group gather.
func (db *DB) commitNext() {
	db.writing.Lock()
	defer db.writing.Unlock()
	db.queue.Lock()
	g := db.next
	db.next = nil
	db.queue.Unlock()
	defer close(g.done)
	units, willing := db.gather(g)
	err := db.writeUnits(units)
	for _, m := range willing {
		m.err = err
	}
}

// gather fails the members whose paths are not valid, and returns what the
// others need.
func (db *DB) gather(g *group) (units map[*unit]struct{}, willing []*member) {
	db.overlay.mu.RLock()
	defer db.overlay.mu.RUnlock()
	units = map[*unit]struct{}{}
	for _, m := range g.members {
		if m.err = db.allValid(m.paths); m.err != nil {
			continue
		}
		willing = append(willing, m)
		for _, p := range m.paths {
			db.overlay.units(p, units)
		}
	}
	return units, willing
}

func (db *DB) allValid(paths []storepath.Path) error {
	for _, p := range paths {
		if valid, err := db.validLocked(p); err != nil {
			return err
		} else if !valid {
			return &NotValidError{p}
		}
	}
	return nil
}

func (db *DB) writeUnits(units map[*unit]struct{}) error {
	if len(units) == 0 {
		return db.broken
	}
	b := db.pebble.NewBatch()
	defer b.Close()
	for u := range units {
		if err := putUnit(b, u); err != nil {
			return err
		}
	}
	if err := db.putIndexes(b, units); err != nil {
		return err
	}
	if err := db.write(b); err != nil {
		return err
	}
	db.overlay.mu.Lock()
	defer db.overlay.mu.Unlock()
	for u := range units {
		db.overlay.remove(u)
	}
	return nil
}

// write applies a batch and syncs it; under writing. After a failure no write
// succeeds any more: what a record is built on might not be on disk.
func (db *DB) write(b *pebble.Batch) error {
	if db.broken != nil {
		return db.broken
	}
	if err := db.checkSpace(b); err != nil {
		return err
	}
	err := db.apply(b, pebble.Sync)
	if err != nil {
		db.broken = fmt.Errorf("write database: %w (%w)", ErrBroken, err)
	}
	return err
}

func (db *DB) apply(b *pebble.Batch, o *pebble.WriteOptions) error {
	db.asked.batches.Add(1)
	return guard(func() error { return db.pebble.Apply(b, o) })
}

// applyNoWait makes a batch visible; b.SyncWait is still to be called.
func (db *DB) applyNoWait(b *pebble.Batch) error {
	db.asked.batches.Add(1)
	return guard(func() error { return db.pebble.ApplyNoSyncWait(b, pebble.Sync) })
}

// guard turns Pebble's way to say that its log cannot be written into an error.
func guard(write func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case runtime.Error:
			panic(r)
		case error:
			err = fmt.Errorf("write database: %w", r)
		default:
			panic(r)
		}
	}()
	if err := write(); err != nil {
		return fmt.Errorf("write database: %w", err)
	}
	return nil
}
