// Package addition adds objects to a store: staged where nobody looks, hashed,
// moved to the name that follows from their contents, and registered.
package addition

import (
	"context"
	"fmt"
	"io"
	"os"

	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/pathlock"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Adder adds to one store, for one goroutine at a time. What it adds is valid
// inside this process at once, and for good after [Adder.Commit]. When it fails,
// or its context ends, nothing is left of what was being added.
type Adder struct {
	Layout localstore.Layout
	DB     *validity.DB
	Trust  Trust
	// Durable commits for [Adder.Commit] where somebody sees to all commits of a
	// process; nil where the Adder flushes and commits by itself.
	Durable func(context.Context, ...storepath.Path) error
	// Optimiser links what is added to equal files; nil where it does not.
	Optimiser *localstore.Optimiser
	// Keep is told of each path before it is looked for, so that no collector
	// takes it meanwhile; nil where there is none.
	Keep func(...storepath.Path) error
	// Stages has directories to stage in; nil where each object makes its own.
	Stages *Stages
	// Spares are lock files for its paths; nil where each lock makes its own.
	Spares *pathlock.Spares
	// Admit refuses derivations that are not to be in the store; nil refuses none.
	Admit func(*derivation.Derivation) error
	// Held says that the caller holds the lock of all that is added.
	Held bool
	// Lent are paths whose locks are there to be used; nil for none.
	Lent *Lent

	// Modulos has hashes of derivations that several Adders ask for; nil where this
	// one remembers those that it asked for.
	Modulos *Modulos
}

// Text adds a file with contents and references.
func (a *Adder) Text(ctx context.Context, name string, contents []byte, refs []storepath.Path) (storepath.Path, error) {
	p, err := a.Layout.Dir.MakeText(name, nixhash.Sum(nixhash.SHA256, contents), refs)
	if err != nil {
		return p, fmt.Errorf("add '%s': %w", name, err)
	}
	return p, a.text(ctx, p, contents, refs, validity.Registration{})
}

func (a *Adder) text(ctx context.Context, p storepath.Path, contents []byte, refs []storepath.Path, reg validity.Registration) error {
	ca := storepath.ContentAddress{Method: storepath.Text, Hash: nixhash.Sum(nixhash.SHA256, contents)}
	return a.add(ctx, p, refs, ca, reg, func(staged string) error {
		return os.WriteFile(staged, contents, 0o644)
	})
}

// Derivation adds a derivation, whose inputs must be valid and whose output
// paths must be right.
func (a *Adder) Derivation(ctx context.Context, d *derivation.Derivation) (storepath.Path, error) {
	dir := a.Layout.Dir
	if err := a.verifyOutputs(d); err != nil {
		return storepath.Path{}, err
	}
	p, err := d.Path(dir)
	if err != nil {
		return p, err
	}
	return p, a.text(ctx, p, d.Print(dir), d.Refs(), outputsOf(p, d))
}

// Tree adds a copy of a file or directory of the host by the hash of its
// archive.
func (a *Adder) Tree(ctx context.Context, host, name string) (storepath.Path, error) {
	h, err := hashTree(ctx, host)
	if err != nil {
		return storepath.Path{}, err
	}
	p, err := a.Layout.Dir.MakeFixed(name, storepath.NAR, h, nil, false)
	if err != nil {
		return p, fmt.Errorf("add '%s': %w", host, err)
	}
	return p, a.copyTree(ctx, p, host, h)
}

// copyTree adds what is known to have that hash; if it changed meanwhile it is
// refused.
func (a *Adder) copyTree(ctx context.Context, p storepath.Path, host string, h nixhash.Hash) error {
	return a.add(ctx, p, nil, storepath.ContentAddress{Method: storepath.NAR, Hash: h}, validity.Registration{}, func(staged string) error {
		if err := copyByArchive(ctx, host, staged); err != nil {
			return err
		}
		got, err := hashTree(ctx, staged)
		if err == nil && got != h {
			err = fmt.Errorf("'%s' changed while it was copied", host)
		}
		return err
	})
}

func copyByArchive(ctx context.Context, from, to string) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(nar.Dump(nar.Within(ctx, w), from)) }()
	_, err := nar.RestoreStored(r, to)
	r.CloseWithError(err)
	return err
}

func hashTree(ctx context.Context, host string) (nixhash.Hash, error) {
	w := nixhash.SHA256.New()
	if err := nar.Hash(ctx, w, host); err != nil {
		return nixhash.Hash{}, err
	}
	return nixhash.Finish(nixhash.SHA256, w), nil
}

// Commit makes what was added durable.
func (a *Adder) Commit(ctx context.Context, paths ...storepath.Path) error {
	if len(paths) == 0 {
		return nil
	}
	if a.Durable != nil {
		return a.Durable(ctx, paths...)
	}
	pending := a.DB.Pending(paths...)
	reals := make([]string, len(pending))
	for i, p := range pending {
		reals[i] = a.Layout.RealPath(p)
	}
	if err := a.Layout.Flush(reals...); err != nil {
		return err
	}
	return a.DB.Commit(ctx, paths...)
}
