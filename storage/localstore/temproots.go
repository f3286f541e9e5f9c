package localstore

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"troupe/storage/storepath"
)

// TempRoots keeps paths from any collector for as long as their owners in this
// process want them. Nix looks for them in a file that it finds locked:
// <state>/temproots/<pid>, with each path and a zero byte. The file has all that
// is kept, and perhaps more.
type TempRoots struct {
	dir      storepath.Dir
	stateDir string
	name     string   // of the file
	lock     *os.File // the state directory's gc.lock

	mu     sync.Mutex // guards what follows; held over a batch of a collection
	file   *os.File
	before *os.File               // what had the name before the last compaction, still locked
	size   int64                  // bytes of the file that are whole paths
	owners map[string]*held       // what each one keeps
	kept   map[storepath.Path]int // by how many owners; 0 where only the file has it
	unused int                    // how many of kept are 0
	run    *Collection            // nil unless a collection is under way
	limbo  []*held                // what was dropped while it is
	closed bool
}

// OpenTempRoots makes this process's file, and removes those of processes that
// have died. A process has one at a time.
func OpenTempRoots(l Layout) (*TempRoots, error) {
	dir := filepath.Join(l.StateDir, "temproots")
	err := makeDir(dir)
	if err == nil {
		err = errors.Join(removeStale(dir, ""), removeStale(l.StateDir, unnamedRoots))
	}
	if err != nil {
		return nil, fmt.Errorf("make temporary roots: %w", readOnly(err))
	}
	t := &TempRoots{dir: l.Dir, stateDir: l.StateDir, name: filepath.Join(dir, strconv.Itoa(os.Getpid())),
		owners: map[string]*held{}, kept: map[storepath.Path]int{}}
	if t.lock, err = openCollectorLock(l.StateDir); err != nil {
		return nil, fmt.Errorf("make temporary roots: %w", readOnly(err))
	}
	if t.file, err = makeLocked(l.StateDir, t.name, rename); err != nil {
		return nil, errors.Join(fmt.Errorf("make temporary roots '%s': %w", t.name, readOnly(err)), t.lock.Close())
	}
	return t, nil
}

// unnamedRoots is how the name begins of a file that is not locked yet.
const unnamedRoots = ".temproots-"

// makeLocked makes a file that has its name only when it is locked, so that
// nobody takes it for stale.
func makeLocked(stateDir, name string, rename func(from, to string) error) (*os.File, error) {
	f, err := os.CreateTemp(stateDir, unnamedRoots)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = rename(f.Name(), name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// lockNamed locks a file and says whether it still has its name. It does not
// wait: an error is EWOULDBLOCK where somebody has the lock.
func lockNamed(f *os.File) (bool, error) {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return false, err
	}
	named, err := os.Lstat(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	open, err := f.Stat()
	return err == nil && os.SameFile(named, open), err
}

func removeStale(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		if err := removeIfStale(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("remove stale file: %w", err)
		}
	}
	return nil
}

// removeIfStale removes a file that nobody has locked. One that is not ours to
// open is left to whoever may.
func removeIfStale(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	stale, err := lockNamed(f)
	if errors.Is(err, unix.EWOULDBLOCK) || err == nil && !stale {
		return nil
	}
	if err == nil {
		err = os.Remove(name)
	}
	if err == nil {
		_, err = f.WriteString("d") // how Nix tells whoever waits for the lock
	}
	return err
}

// Add keeps paths, valid or not, until their owner drops them. When it fails it
// keeps none of them that it did not keep before.
//
// It waits for a batch of a collection that is under way, in this process or
// another: when it returns, a path that is valid stays so.
func (t *TempRoots) Add(owner string, paths ...storepath.Path) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var fresh []storepath.Path // that the file does not have
	seen := map[storepath.Path]struct{}{}
	for _, p := range paths {
		if _, listed := t.kept[p]; listed {
			continue
		}
		if _, twice := seen[p]; !twice {
			seen[p] = struct{}{}
			fresh = append(fresh, p)
		}
	}
	if err := t.list(fresh); err != nil {
		return fmt.Errorf("add temporary roots: %w", err)
	}
	t.keep(owner, paths)
	return nil
}

// list adds paths to the file, with the consent of a collector that is at work.
func (t *TempRoots) list(paths []storepath.Path) error {
	if len(paths) == 0 {
		return nil
	}
	release, err := t.consent(paths)
	if err != nil {
		return err
	}
	text := t.text(paths)
	if _, err := t.file.WriteAt(text, t.size); err != nil {
		return errors.Join(err, t.file.Truncate(t.size), release())
	}
	t.size += int64(len(text))
	for _, p := range paths {
		t.kept[p] = 0
	}
	t.unused += len(paths)
	return release()
}

func (t *TempRoots) text(paths []storepath.Path) []byte {
	var b []byte
	for _, p := range paths {
		b = append(append(b, t.dir.Join(p)...), 0)
	}
	return b
}

// keep counts paths for an owner; the file has them, or another's has.
func (t *TempRoots) keep(owner string, paths []storepath.Path) {
	has := t.owners[owner]
	if has == nil {
		has = &held{}
		t.owners[owner] = has
	}
	for _, p := range paths {
		if !has.add(p) {
			continue
		}
		if n, listed := t.kept[p]; n == 0 {
			if listed {
				t.unused--
			}
			if t.run != nil {
				t.run.fresh = append(t.run.fresh, p)
			}
		}
		t.kept[p]++
	}
}

// Drop lets go of all that an owner keeps. While a collection is under way it
// takes effect only at its end: a permanent root that was made before the drop
// may have been made after the collector had looked for roots.
func (t *TempRoots) Drop(owner string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	has := cmp.Or(t.owners[owner], &held{})
	delete(t.owners, owner)
	if t.run != nil {
		t.limbo = append(t.limbo, has)
		return
	}
	t.letGo(has)
	t.compact()
}

func (t *TempRoots) letGo(paths *held) {
	for _, p := range paths.all {
		if t.kept[p]--; t.kept[p] == 0 {
			t.unused++
		}
	}
}

// compactAbove is how many paths the file may have for nothing.
const compactAbove = 1000

// compact makes the file anew once most of it is for nothing. Where it cannot,
// the file stays as it is: it has too much and not too little.
func (t *TempRoots) compact() {
	if t.unused <= max(compactAbove, len(t.kept)/2) {
		return
	}
	if unlock, free := t.shareLock(); free { // or a collector might have the old file open
		t.replaceFile()
		unlock()
	}
}

// replaceFile keeps the old file locked until the next time, for whoever opened
// it by its name and has yet to look whether it is locked.
func (t *TempRoots) replaceFile() {
	inUse := make([]storepath.Path, 0, len(t.kept)-t.unused)
	for p, n := range t.kept {
		if n > 0 {
			inUse = append(inUse, p)
		}
	}
	text := t.text(inUse)
	f, err := makeLocked(t.stateDir, t.name, func(from, to string) error {
		return errors.Join(os.WriteFile(from, text, 0o600), os.Rename(from, to))
	})
	if err != nil {
		return
	}
	if t.before != nil {
		t.before.Close()
	}
	t.before, t.file, t.size, t.unused = t.file, f, int64(len(text)), 0
	for p, n := range t.kept {
		if n == 0 {
			delete(t.kept, p)
		}
	}
}

// Close lets go of every path. What is dropped afterwards was dropped with it.
func (t *TempRoots) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	err := errors.Join(os.Remove(t.name), t.file.Close(), t.lock.Close())
	if t.before != nil {
		err = errors.Join(err, t.before.Close())
	}
	return err
}
