// Package copying copies store paths from one store to another, of whatever kinds
// they are: a store of this machine, one that a daemon serves, here or elsewhere, or
// a binary cache. Archives go through as they come.
package copying

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"troupe/actors/ports/remotestore"
	"troupe/storage/realisation"
	"troupe/storage/references"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Object is what is copied: a record, and what writes the archive.
type Object = remotestore.Object

// Source is where paths are copied from.
type Source interface {
	String() string
	Info(context.Context, storepath.Path) (validity.Info, bool, error)
	NAR(context.Context, storepath.Path, io.Writer) error
	// Realisation is where an output lies, and whether that is known.
	Realisation(context.Context, realisation.ID) (realisation.Realisation, bool, error)
	// Realisations are those that are known of a path.
	Realisations(context.Context, storepath.Path) ([]realisation.Realisation, error)
}

// Target is where they are copied to.
type Target interface {
	String() string
	// Valid are those of some paths that are there; with substitute the store
	// fetches what it can first.
	Valid(_ context.Context, paths []storepath.Path, substitute bool) ([]storepath.Path, error)
	// Add takes objects, each after those that it refers to. They are durable when
	// it returns.
	Add(context.Context, []Object) error
	Realise(context.Context, realisation.Realisation) error
}

// Options say what is copied, and how.
type Options struct {
	Dir        storepath.Dir
	Recursive  bool // also what the paths refer to, and so on
	Substitute bool // the target may fetch paths by itself
	// Sign makes signatures for what is copied; nil makes none.
	Sign func(validity.Info) ([]string, error)
	// Tell takes a line about what is done.
	Tell func(line string)
}

// atOnce is how many questions and archives are under way at a time.
const atOnce = 16

// Copy copies paths that the target does not have, and tells it where outputs lie: those
// that are known, and what the source itself knows of the paths.
func Copy(ctx context.Context, from Source, to Target, paths []storepath.Path, known []realisation.Realisation, o Options) error {
	infos, err := records(ctx, from, paths, o)
	if err != nil {
		return err
	}
	missing, err := missing(ctx, to, infos, o)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		o.Tell(fmt.Sprintf("copying %d paths...", len(missing)))
	}
	objects := make([]Object, len(missing))
	for i, info := range missing {
		if objects[i], err = object(ctx, from, to, info, o); err != nil {
			return err
		}
	}
	if err := to.Add(ctx, objects); err != nil {
		return err
	}
	return realise(ctx, from, to, infos, known, o)
}

// records are the records of the paths, and of all that they refer to.
func records(ctx context.Context, from Source, paths []storepath.Path, o Options) (map[storepath.Path]validity.Info, error) {
	infos := map[storepath.Path]validity.Info{}
	for next := paths; len(next) > 0; {
		found := make([]validity.Info, len(next))
		group, gctx := errgroup.WithContext(ctx)
		group.SetLimit(atOnce)
		for i, p := range next {
			infos[p] = validity.Info{} // it is being asked for
			group.Go(func() error {
				info, ok, err := from.Info(gctx, p)
				if err == nil && !ok {
					err = fmt.Errorf("path '%s' is not valid in '%s'", o.Dir.Join(p), from)
				}
				found[i] = info
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		next = nil
		for _, info := range found {
			infos[info.Path] = info
			for _, r := range info.References {
				if _, known := infos[r]; !known && o.Recursive && !slices.Contains(next, r) {
					next = append(next, r)
				}
			}
		}
	}
	return infos, nil
}

// missing are those that the target does not have, each after those that it refers
// to.
func missing(ctx context.Context, to Target, infos map[storepath.Path]validity.Info, o Options) (list []validity.Info, err error) {
	var names []string
	byName, all := map[string]validity.Info{}, make([]storepath.Path, 0, len(infos))
	for p := range infos {
		all = append(all, p)
	}
	valid, err := to.Valid(ctx, all, o.Substitute)
	if err != nil {
		return nil, err
	}
	there := map[storepath.Path]bool{}
	for _, p := range valid {
		there[p] = true
	}
	for p, info := range infos {
		if !there[p] {
			names = append(names, p.Base())
			byName[p.Base()] = info
		}
	}
	sorted, err := references.Sort(names, func(name string) (refs []string) {
		for _, r := range byName[name].References {
			refs = append(refs, r.Base())
		}
		return refs
	})
	for _, name := range sorted {
		list = append(list, byName[name])
	}
	return list, err
}

// object is a path as the target is to have it.
func object(ctx context.Context, from Source, to Target, info validity.Info, o Options) (Object, error) {
	info.Ultimate, info.RegistrationTime = false, 0
	if o.Sign != nil {
		made, err := o.Sign(info)
		if err != nil {
			return Object{}, err
		}
		for _, sig := range made {
			if !slices.Contains(info.Signatures, sig) {
				info.Signatures = append(info.Signatures[:len(info.Signatures):len(info.Signatures)], sig)
			}
		}
		slices.Sort(info.Signatures)
	}
	return Object{Info: info, Archive: func(w io.Writer) error {
		o.Tell(fmt.Sprintf("copying path '%s' from '%s' to '%s'...", o.Dir.Join(info.Path), from, to))
		return from.NAR(ctx, info.Path, w)
	}}, nil
}

// realise tells the target what is known of where outputs lie. That it does not want
// to know is no failure: the paths are there.
func realise(ctx context.Context, from Source, to Target, infos map[storepath.Path]validity.Info, known []realisation.Realisation, o Options) error {
	for p := range infos {
		more, err := from.Realisations(ctx, p)
		if err != nil {
			return err
		}
		for _, r := range more {
			if !slices.ContainsFunc(known, func(k realisation.Realisation) bool { return k.ID == r.ID }) {
				known = append(known, r)
			}
		}
	}
	for _, r := range known {
		err := to.Realise(ctx, r)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			o.Tell(fmt.Sprintf("warning: where '%v' lies is not copied: %v", r.ID, err))
		}
	}
	return nil
}

// inParallel adds objects one by one, some at a time, each after those that it refers
// to.
func inParallel(ctx context.Context, objects []Object, most int, add func(context.Context, Object) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(most)
	done := map[storepath.Path]chan struct{}{}
	for _, o := range objects {
		end := make(chan struct{})
		done[o.Info.Path] = end
		var before []chan struct{} // which have begun already, as they come first
		for _, r := range o.Info.References {
			if c := done[r]; c != nil && c != end {
				before = append(before, c)
			}
		}
		group.Go(func() error {
			for _, c := range before {
				select {
				case <-c:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			err := add(ctx, o)
			if err == nil {
				close(end)
			}
			return err
		})
	}
	return group.Wait()
}

// errStopped is that nobody reads the rest of an archive.
var errStopped = errors.New("it is not read to its end")

// piped gives a reader what an archive's function writes.
func piped(o Object, f func(io.Reader) error) error {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := o.Archive(w)
		w.CloseWithError(err)
		written <- err
	}()
	err := f(r)
	r.CloseWithError(errStopped)
	if werr := <-written; werr != nil && !errors.Is(werr, errStopped) {
		return werr
	}
	return err
}
