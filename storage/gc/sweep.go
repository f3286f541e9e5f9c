package gc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
	"troupe/storage/pace"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// sweep is one collection that deletes.
type sweep struct {
	c   *Collector
	o   Options
	run *localstore.Collection
	l   *liveness

	store   int // descriptor of the store's directory
	trash   string
	trashed []string // what was moved there and is still to be removed
	names   int      // how many names in the trash were used
	pace    pace.Pace

	deleted []string // since they were last told of
	result  Result
	failed  error // the first fault that did not end the collection
}

func (s *sweep) all(ctx context.Context) error {
	if err := s.open(); err != nil {
		return err
	}
	s.o.say("finding garbage collector roots...")
	if err := s.index(ctx); err != nil {
		return err
	}
	var err error
	if s.l, err = s.c.look(ctx, s.o); err != nil {
		return err
	}
	if err := s.run.Exclude(s.spare); err != nil {
		return err
	}
	if s.o.Action == DeleteSpecific {
		err = s.specific(ctx)
	} else if s.o.MaxFreed > 0 {
		s.o.say("deleting garbage...")
		err = s.everything(ctx)
	}
	if err != nil {
		return err
	}
	s.o.say("deleting unused links...")
	return errors.Join(s.unusedLinks(ctx), s.failed)
}

// index makes the indexes of a database that has none, if they are used. A full disk is
// no reason not to collect.
func (s *sweep) index(ctx context.Context) error {
	if s.o.Action == DeleteDead && s.o.KeepOutputs {
		return nil
	}
	err := s.c.DB.Index(ctx)
	if errors.Is(err, validity.ErrDiskFull) {
		err = nil
	}
	return err
}

func (s *sweep) everything(ctx context.Context) error {
	err := s.c.eachLeftover(s.l, &s.c.names, func(name string) error {
		if s.enough() {
			return nil
		}
		_, err := s.leftover(name)
		return errors.Join(err, ctx.Err())
	})
	if err == nil {
		err = s.groups(ctx, s.l.dead())
	}
	if err == nil && s.enough() {
		s.o.say("deleted more than %d bytes; stopping", s.o.MaxFreed)
	}
	return err
}

func (s *sweep) enough() bool { return s.result.Freed > s.o.MaxFreed }

// spare marks what has been leased since.
func (s *sweep) spare(fresh []storepath.Path) error {
	s.l.markPaths(fresh)
	return nil
}

// trashPrefix begins the names of directories in the staging directory, which is
// emptied when a process takes hold of the store.
const trashPrefix = "trash-"

func (s *sweep) open() (err error) {
	s.store, err = unix.Open(s.c.Layout.RealStoreDir(), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: s.c.Layout.RealStoreDir(), Err: err}
	}
	staging := s.c.Layout.StagingDir()
	old, err := filepath.Glob(filepath.Join(staging, trashPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range old { // what an earlier one could not delete
		_, err := localstore.Remove(dir)
		s.failed = errors.Join(s.failed, err)
	}
	s.trash, err = s.c.Layout.Stage(trashPrefix)
	return err
}

// close leaves what could not be removed to the next collection.
func (s *sweep) close() error {
	if s.store > 0 {
		unix.Close(s.store)
	}
	if s.trash == "" {
		return nil
	}
	if err := os.Remove(s.trash); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	var err error
	if s.c.Unstage != nil {
		err = s.c.Unstage()
	}
	return errors.Join(err, s.c.Layout.TidyStaging())
}

// A batch is as large as can be moved away in about batchTime. To make it invalid
// takes a sync on top of that, however small it is.
const (
	batchTime   = 20 * time.Millisecond
	minBatch    = 16
	maxBatch    = 512
	limitedSize = 16 // paths, where MaxFreed says when to stop
)

// groups deletes paths in the order that they have.
func (s *sweep) groups(ctx context.Context, groups [][]int32) error {
	size := minBatch
	for len(groups) > 0 && !s.enough() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var batch []int32
		batch, groups = s.take(groups, size)
		took, err := s.batch(batch)
		s.finish()
		if err != nil {
			return err
		}
		if took > batchTime {
			size = max(minBatch, size/2)
		} else {
			size = min(maxBatch, 2*size)
		}
	}
	return nil
}

// take splits off a batch: whole groups, and where there is a limit no more than
// what probably reaches it.
func (s *sweep) take(groups [][]int32, size int) (batch []int32, rest [][]int32) {
	if s.o.MaxFreed != Unlimited {
		size = min(size, limitedSize)
	}
	expected := s.result.Freed
	for n, g := range groups {
		if n > 0 && (len(batch)+len(g) > size || expected > s.o.MaxFreed) {
			return batch, groups[n:]
		}
		batch = append(batch, g...)
		for _, at := range g {
			expected += onDisk(s.l.graph.Nodes[at].NarSize)
		}
	}
	return batch, nil
}

// onDisk is how much an object probably takes, in blocks of 4 KiB.
func onDisk(narSize uint64) uint64 { return (narSize + 4095) &^ 4095 }

// batch makes those of the paths invalid that are still dead, and moves them
// away, which took so long; nobody can lease a path until that is done.
func (s *sweep) batch(batch []int32) (took time.Duration, err error) {
	err = s.run.Exclude(func(fresh []storepath.Path) error {
		s.l.markPaths(fresh)
		gone, err := s.unregister(batch)
		if err != nil {
			return err
		}
		start := time.Now()
		defer func() { took = time.Since(start) }()
		for _, p := range gone {
			if err := s.discard(p.Base()); err != nil {
				s.failed = errors.Join(s.failed, err)
				continue
			}
			s.deleted = append(s.deleted, s.c.Layout.Dir.Join(p))
		}
		return nil
	})
	return took, err
}

// unregister makes what is dead invalid. A path that became another's reference
// since is live.
func (s *sweep) unregister(batch []int32) ([]storepath.Path, error) {
	for {
		var dead []storepath.Path
		for _, at := range batch {
			if !s.l.live[at] {
				dead = append(dead, s.l.graph.Nodes[at].Path)
			}
		}
		if len(dead) == 0 {
			return nil, nil
		}
		s.c.before("unregister")
		err := s.c.DB.Unregister(dead...)
		var used *validity.ReferrersError
		if err == nil {
			s.c.names.forget(dead)
		}
		if !errors.As(err, &used) {
			return dead, err
		}
		at, known := s.l.graph.Find(used.Path)
		if !known {
			return nil, err
		}
		s.l.mark(at)
	}
}

// directBytes is how large a file may be to be deleted while others wait: it
// takes no longer than to move it.
const directBytes = 1 << 20

// discard takes a name out of the store's directory. A mount, or a file that
// cannot be changed, is an error.
func (s *sweep) discard(name string) error {
	s.c.before("discard " + name)
	s.pace.Step()
	var st unix.Stat_t
	err := unix.Fstatat(s.store, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Size <= directBytes {
		if err = unix.Unlinkat(s.store, name, 0); err == nil && st.Nlink == 1 {
			s.result.Freed += uint64(st.Blocks) * 512
		}
	} else if err == nil {
		s.names++
		to := filepath.Join(s.trash, strconv.Itoa(s.names))
		if err = localstore.Rename(filepath.Join(s.c.Layout.RealStoreDir(), name), to); err == nil {
			s.trashed = append(s.trashed, to)
		}
	}
	if err != nil {
		return fmt.Errorf("delete '%s': %w", s.c.Layout.RealStoreDir()+"/"+name, err)
	}
	return nil
}

// finish removes what was moved away and tells what was deleted, when nobody
// waits any more. What cannot be removed does not end the collection.
func (s *sweep) finish() {
	for _, name := range s.trashed {
		s.c.before("remove")
		freed, err := localstore.Remove(name)
		s.result.Freed += freed
		s.failed = errors.Join(s.failed, err)
	}
	s.trashed = nil
	s.o.sayTogether(func() {
		for _, p := range s.deleted {
			s.o.say("deleting '%s'", p)
		}
	})
	s.result.Paths = append(s.result.Paths, s.deleted...)
	s.deleted = nil
}
