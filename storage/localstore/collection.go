package localstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"troupe/storage/storepath"
)

// Collection is the right to delete what nobody keeps: while one is under way,
// no other collector is, and nothing that was kept is let go.
type Collection struct {
	roots *TempRoots
	door  *door

	fresh []storepath.Path // under roots.mu: kept since Exclude was last called
}

// Collect begins a collection; it waits until no other process and nobody else
// here collects. waits, which may be nil, is called when it has to.
func (t *TempRoots) Collect(ctx context.Context, waits func()) (*Collection, error) {
	c := &Collection{roots: t}
	if err := t.lockAlone(ctx, c, waits); err != nil {
		return nil, fmt.Errorf("begin garbage collection: %w", err)
	}
	d, err := openDoor(t.stateDir, t.dir, c.spare)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin garbage collection: %w", readOnly(err)), c.End())
	}
	c.door = d
	return c, nil
}

// take puts all that is kept at the beginning into fresh; under roots.mu.
func (c *Collection) take(t *TempRoots) {
	for p, n := range t.kept {
		if n > 0 {
			c.fresh = append(c.fresh, p)
		}
	}
}

// spare keeps a path of another process until the collection ends.
func (c *Collection) spare(p storepath.Path) {
	c.roots.mu.Lock()
	defer c.roots.mu.Unlock()
	c.fresh = append(c.fresh, p)
}

// Exclude calls f with the paths that are kept now and were not when it was last
// called; at first, with all that are. Nobody can add to them until f returns,
// so f is quick.
func (c *Collection) Exclude(f func(fresh []storepath.Path) error) error {
	c.roots.mu.Lock()
	defer c.roots.mu.Unlock()
	fresh := c.fresh
	c.fresh = nil
	return f(fresh)
}

// End lets others collect, and lets go of what was dropped meanwhile.
func (c *Collection) End() error {
	t := c.roots
	t.mu.Lock()
	t.run = nil
	for _, paths := range t.limbo {
		t.letGo(paths)
	}
	t.limbo = nil
	err := unix.Flock(int(t.lock.Fd()), unix.LOCK_UN)
	t.compact()
	t.mu.Unlock()
	if c.door != nil { // only now: who is turned away finds the lock free
		err = errors.Join(err, c.door.close())
	}
	return err
}

// OtherTempRoots calls f with what living processes other than this one keep.
// What dead ones left is removed.
func (l Layout) OtherTempRoots(f func(pid int, p storepath.Path)) error {
	dir := filepath.Join(l.StateDir, "temproots")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read temporary roots: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || e.Name() == ownPID() {
			continue
		}
		if err := l.readTempRoots(filepath.Join(dir, e.Name()), func(p storepath.Path) { f(pid, p) }); err != nil {
			return fmt.Errorf("read temporary roots: %w", err)
		}
	}
	return nil
}

// readTempRoots leaves out the end of a path that is being written: its writer
// has told us of it, or waits for us to end.
func (l Layout) readTempRoots(name string, f func(storepath.Path)) error {
	if err := removeIfStale(name); err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := io.ReadAll(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	paths := strings.Split(string(text), "\x00")
	for _, path := range paths[:len(paths)-1] {
		if p, err := l.Dir.Parse(path); err == nil {
			f(p)
		}
	}
	return nil
}

// Kept are the paths that owners in this process keep, sorted.
func (t *TempRoots) Kept() []storepath.Path {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []storepath.Path
	for p, n := range t.kept {
		if n > 0 {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, storepath.Path.Compare)
	return all
}
