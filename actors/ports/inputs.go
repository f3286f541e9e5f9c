package ports

import (
	"fmt"
	"slices"

	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// inputs are what a builder may read: some paths, and all that these refer to. The
// closure is found when it is asked for. A sandbox and another machine need it; else it
// is only looked into for what an output may refer to, and most refer to the paths
// that are named: of a chain of 10,000 derivations the closures are 50 million
// paths. Those who ask hold the build's lock.
type inputs struct {
	of     string // the derivation, absolute
	direct []storepath.Path
	db     *validity.DB
	all    []storepath.Path // nil before it was asked for
}

// check fails where a path is not valid, which the goal was told it is.
func (i *inputs) check() error {
	for _, p := range i.direct {
		valid, err := i.db.Valid(p)
		if err == nil && !valid {
			err = &validity.NotValidError{Path: p}
		}
		if err != nil {
			return i.failed(err)
		}
	}
	return nil
}

func (i *inputs) failed(err error) error {
	return fmt.Errorf("closure of the inputs of '%s': %w", i.of, err)
}

// closure is not to be changed.
func (i *inputs) closure() ([]storepath.Path, error) {
	if i.all != nil {
		return i.all, nil
	}
	all := []storepath.Path{}
	for in, err := range i.db.Closure(i.direct...) {
		if err != nil {
			return nil, i.failed(err)
		}
		all = append(all, in)
	}
	i.all = slices.Clip(all)
	return i.all, nil
}

// has reports whether a path is in the closure.
func (i *inputs) has(p storepath.Path) (bool, error) {
	if slices.Contains(i.direct, p) {
		return true, nil
	}
	all, err := i.closure()
	return slices.Contains(all, p), err
}
