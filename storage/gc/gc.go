// Package gc deletes what nothing in a store needs any more, as Nix's collector
// does: what is needed are the roots, and what follows from them.
//
// A collection blocks those who add to the store for no longer than a batch.
// It looks at the roots and at the database of one moment, from the paths that no
// other refers to on; after that, a path that somebody begins to need is spared
// with all that it needs, and one that became valid is not looked at. In each batch, while nobody can lease a path, the dead
// ones are first made invalid, synced, and then moved out of sight; their files
// are deleted when others may go on. A crash leaves files that are not valid,
// for the next collection.
package gc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Collector works on one store, for many callers; collections take turns.
type Collector struct {
	Layout localstore.Layout
	DB     *validity.DB
	Roots  *localstore.TempRoots
	// Unstage removes what is kept in the staging directory though nobody uses it; nil
	// where nothing is.
	Unstage func() error

	names names // of one collection that deletes at a time

	proc string       // where processes are, "/proc" if empty
	step func(string) // called before each step of a deletion, for tests; may be nil
}

func (c *Collector) before(step string) {
	if c.step != nil {
		c.step(step)
	}
}

// Action is what a collection does, by its number in Nix's protocol.
type Action uint64

const (
	ReturnLive Action = iota
	ReturnDead
	DeleteDead
	DeleteSpecific
)

// Unlimited is the MaxFreed of a collection that goes on to the end.
const Unlimited = math.MaxUint64

// Options of a collection.
type Options struct {
	Action          Action
	Paths           []storepath.Path  // of DeleteSpecific
	MaxFreed        uint64            // bytes; once more are freed it stops; 0 deletes no path
	KeepDerivations bool              // what made a live path is live
	KeepOutputs     bool              // what a live derivation makes is live
	Talk            func(line string) // hears what Nix says meanwhile; may be nil
	Together        func(say func())  // calls say, which tells many lines at once; may be nil
}

// Result of a collection.
type Result struct {
	Paths []string // absolute, sorted: live, dead, or deleted
	Freed uint64   // bytes on disk
}

// AliveError refuses to delete a path. The wording is Nix's, which clients look
// for.
type AliveError struct{ Path string }

func (e *AliveError) Error() string {
	return fmt.Sprintf("Cannot delete path '%s' since it is still alive. To find out why, use: nix-store --query --roots and nix-store --query --referrers", e.Path)
}

func (o Options) say(format string, args ...any) {
	if o.Talk != nil {
		o.Talk(fmt.Sprintf(format, args...))
	}
}

// sayTogether calls a function that says much.
func (o Options) sayTogether(say func()) {
	if o.Together == nil {
		say()
	} else {
		o.Together(say)
	}
}

// Collect runs one collection. When it fails or ctx ends, the result says what
// was deleted until then.
func (c *Collector) Collect(ctx context.Context, o Options) (Result, error) {
	if o.Action == ReturnLive || o.Action == ReturnDead {
		return c.list(ctx, o)
	}
	run, err := c.Roots.Collect(ctx, func() { o.say("waiting for the big garbage collector lock...") })
	if err != nil {
		return Result{}, err
	}
	s := &sweep{c: c, o: o, run: run}
	err = s.all(ctx)
	slices.Sort(s.result.Paths)
	return s.result, errors.Join(err, s.close(), run.End())
}

// list deletes nothing and excludes nobody.
func (c *Collector) list(ctx context.Context, o Options) (Result, error) {
	o.say("finding garbage collector roots...")
	l, err := c.look(ctx, o)
	if err != nil {
		return Result{}, err
	}
	l.markPaths(c.Roots.Kept())
	o.say("determining live/dead paths...")
	var result Result
	for at, n := range l.graph.Nodes {
		if l.live[at] == (o.Action == ReturnLive) {
			result.Paths = append(result.Paths, c.Layout.Dir.Join(n.Path))
		}
	}
	if o.Action == ReturnDead {
		err = c.eachLeftover(l, &names{}, func(name string) error {
			result.Paths = append(result.Paths, string(c.Layout.Dir)+"/"+name)
			return nil
		})
	}
	slices.Sort(result.Paths)
	return result, err
}

// look reads the roots and finds what is live and what is dead. Who leases a path
// meanwhile is not asked. Of what is live the answer has only what the dead need, if
// nobody asked for it.
func (c *Collector) look(ctx context.Context, o Options) (*liveness, error) {
	roots, err := c.findRoots(ctx, o.say)
	if err != nil {
		return nil, err
	}
	held := map[storepath.Path]struct{}{}
	for _, r := range roots {
		held[r.Path] = struct{}{}
	}
	for _, p := range c.Roots.Kept() {
		held[p] = struct{}{}
	}
	var l *liveness
	switch {
	case o.Action == ReturnLive || !c.DB.Indexed():
		l, err = c.all(o)
	case o.Action == DeleteSpecific:
		l, err = c.among(o, held)
	case o.KeepOutputs: // a derivation and what it makes need each other: few heads would be left
		l, err = c.all(o)
	default:
		l, err = c.peel(ctx, o, held)
	}
	if err != nil {
		return nil, err
	}
	for _, r := range roots {
		l.markRoot(r)
	}
	return l, nil
}

// all has every valid path, of which those are marked that are not durable.
func (c *Collector) all(o Options) (*liveness, error) {
	graph, err := c.DB.Graph()
	if err != nil {
		return nil, err
	}
	l := newLiveness(graph, o.KeepDerivations, o.KeepOutputs)
	for at, n := range graph.Nodes {
		if n.Provisional {
			l.mark(int32(at))
		}
	}
	return l, nil
}
