package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"troupe/sandbox/linux/early"
)

// ErrNoCgroup is that a builder cannot have a cgroup.
var ErrNoCgroup = errors.New("a builder gets no cgroup of its own")

// cgroups is a directory of this process in which each builder has a cgroup. It
// has no processes itself, so that it can have the memory of those below counted.
type cgroups struct {
	needed bool  // no builder is started without
	lack   error // why there are none; then there is nothing of what follows

	path string
	// dir is locked for as long as this process or its launcher lives; that is
	// how others know. A process id would not do: it may be of another namespace.
	dir  *os.File
	warn func(error)
}

// cgroupsPrefix begins the directory's name, which goes on with our process id.
const cgroupsPrefix = "troupe-builds-"

// UseCgroups gives every builder that is started from now on a cgroup of its own:
// then nothing of it outlives it, whatever it has detached itself from, and what
// it has used is counted whole. Where this machine does not let us, a builder is
// not started if cgroups are needed, and the error is an [ErrNoCgroup]; else it
// runs without. warn hears of cgroups that could not be removed. No builder has
// been started yet.
func (l *Launcher) UseCgroups(needed bool, warn func(error)) {
	g, err := openCgroups()
	if err == nil {
		err = l.write(early.Encode([]early.Step{{Op: "cgroups", Args: []string{g.path}}}), g.dir)
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}
	if err != nil {
		g = &cgroups{lack: err}
	}
	g.needed, g.warn = needed, warn
	l.cgroups = g
}

func openCgroups() (*cgroups, error) {
	place, err := cgroupPlace()
	if err != nil {
		return nil, err
	}
	removeStale(place)
	dir, err := lockedDir(place)
	if err != nil {
		return nil, err
	}
	g := &cgroups{path: dir.Name(), dir: dir}
	if err := unix.Access(filepath.Join(g.path, "cgroup.kill"), unix.W_OK); err != nil { // Linux 5.14
		return nil, errors.Join(fmt.Errorf("cgroup.kill: %w", err), g.close())
	}
	// A builder that finds its cgroup makes none in it.
	if err := setAttribute(g.path, "cgroup.max.depth", "1"); err != nil {
		return nil, errors.Join(err, g.close())
	}
	countMemory(place, g.path)
	return g, nil
}

// countMemory has the memory of builders counted where that can be had: where the
// place has the controller. In a unit's that is left to us, it is for us to pass on.
// Without, the peak is that of one process.
func countMemory(place, dir string) {
	if isDelegated(place) {
		_ = setAttribute(place, "cgroup.subtree_control", "+memory")
	}
	_ = setAttribute(dir, "cgroup.subtree_control", "+memory")
}

// lockedDir makes a directory that is seen to be ours. One that somebody has
// taken for a dead service's before it was locked is gone.
func lockedDir(place string) (*os.File, error) {
	for {
		path, err := os.MkdirTemp(place, cgroupsPrefix+strconv.Itoa(os.Getpid())+"-")
		if err != nil {
			return nil, err
		}
		dir, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, early.RemoveCgroup(path))
		}
		if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
			return nil, errors.Join(&os.PathError{Op: "lock", Path: path, Err: err}, dir.Close(), early.RemoveCgroup(path))
		}
		if _, err := os.Stat(path); err == nil {
			return dir, nil
		}
		dir.Close()
	}
}

// stalePatience bounds how long what a dead service has left may take to end;
// what does not is tried again at the next start.
const stalePatience = time.Second

// removeStale kills what services that are dead have left, and removes it.
func removeStale(place string) {
	entries, err := os.ReadDir(place)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), cgroupsPrefix) {
			continue
		}
		dir, err := os.Open(filepath.Join(place, e.Name()))
		if err != nil {
			continue // another user's, or gone
		}
		if unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && emptyCgroup(dir.Name(), stalePatience) == nil {
			_ = early.RemoveCgroup(dir.Name())
		}
		dir.Close()
	}
}

// close removes the directory. The launcher, if it lives, does so as well.
func (g *cgroups) close() error {
	if g == nil || g.lack != nil {
		return nil
	}
	return errors.Join(emptyCgroup(g.path, killPatience), early.RemoveCgroup(g.path), g.dir.Close())
}

// add makes the cgroup of a builder. It is nil where there is to be none, or
// where that does not work and it is not needed.
func (g *cgroups) add(id string) (*cgroup, error) {
	if g == nil {
		return nil, nil
	}
	one, err := g.make(id)
	if err != nil && g.needed {
		return nil, fmt.Errorf("%w: %w (%s)", ErrNoCgroup, err, notWithoutCgroup)
	}
	return one, nil
}

func (g *cgroups) make(id string) (*cgroup, error) {
	if g.lack != nil {
		return nil, g.lack
	}
	path := filepath.Join(g.path, id)
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, err
	}
	return &cgroup{of: g, path: path}, nil
}
