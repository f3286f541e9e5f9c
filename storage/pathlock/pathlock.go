// Package pathlock takes the lock files that Nix processes respect: PATH.lock
// beside a store path, under flock(2), while PATH is made or deleted; and one
// file per build user under the state directory. It does not know what the
// locks are for.
//
// Inside the process a lock file has one [File] at a time: a table of held
// files is asked before a file is opened. Between processes flock decides.
package pathlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Held is the locks of a set of paths.
type Held struct{ files []*File }

// BusyError says which path kept [TryLock] from having all. It is [ErrBusy].
type BusyError struct{ Path string }

func (e *BusyError) Error() string { return fmt.Sprintf("lock %q: %v", e.Path, ErrBusy) }

// Is makes errors.Is(err, ErrBusy) true.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// TryLock locks all the paths (absolute, without ".lock") or none; it never
// waits. The error is a [*BusyError] when another has one of them.
func TryLock(paths []string) (*Held, error) {
	return lockAll(paths, busyAs(TryFile))
}

// busyAs locks the files of paths, and names the path that is busy.
func busyAs(try func(file string) (*File, error)) func(path string) (*File, error) {
	return func(p string) (*File, error) {
		f, err := try(p + ".lock")
		if errors.Is(err, ErrBusy) {
			err = &BusyError{p}
		}
		return f, err
	}
}

// Lock is [TryLock] that waits until all are free or ctx ends, in the order of
// the paths' bytes, which is Nix's: two that want the same paths cannot wait
// for each other. See [WaitFile] for what a cancelled wait leaves behind.
func Lock(ctx context.Context, paths []string) (*Held, error) {
	return lockAll(paths, func(p string) (*File, error) { return WaitFile(ctx, p+".lock") })
}

func lockAll(paths []string, lock func(string) (*File, error)) (*Held, error) {
	sorted := slices.Compact(slices.Sorted(slices.Values(paths)))
	h := &Held{files: make([]*File, 0, len(sorted))}
	for _, p := range sorted {
		f, err := lock(p)
		if err != nil {
			return nil, errors.Join(err, h.Release(false))
		}
		h.files = append(h.files, f)
	}
	return h, nil
}

// Release gives the locks back. With deleteFiles the lock files go too, which
// is right once the paths are valid or no longer wanted. A second Release does
// nothing.
func (h *Held) Release(deleteFiles bool) error {
	var errs []error
	for _, f := range h.files {
		if deleteFiles {
			errs = append(errs, f.Delete())
		} else {
			errs = append(errs, f.Unlock())
		}
	}
	h.files = nil
	return errors.Join(errs...)
}
