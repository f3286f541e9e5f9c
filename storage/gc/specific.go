package gc

import (
	"context"
	"fmt"
	"slices"

	"troupe/storage/pathlock"
	"troupe/storage/storepath"
)

// specific deletes the paths that were named, all or none: one that is a root,
// or that a path which was not named needs, is an [*AliveError].
func (s *sweep) specific(ctx context.Context) error {
	named := slices.Clone(s.o.Paths)
	slices.SortFunc(named, storepath.Path.Compare)
	named = slices.Compact(named)
	among := map[int32]bool{}
	for _, p := range named {
		if at, valid := s.l.graph.Find(p); valid {
			among[at] = true
		}
	}
	for at := range s.l.needed(among) {
		s.l.mark(at) // and with it what it needs, which of those named may be the first
	}
	for _, p := range named {
		at, valid := s.l.graph.Find(p)
		if valid && s.l.live[at] || !valid && s.l.spares(p) {
			return &AliveError{s.c.Layout.Dir.Join(p)}
		}
	}
	for at := range s.l.graph.Nodes {
		if !among[int32(at)] {
			s.l.live[at] = true // as far as this collection goes
		}
	}
	if err := s.groups(ctx, s.l.dead()); err != nil {
		return err
	}
	return s.checkGone(named)
}

// checkGone is an error where one was leased at the last moment. What was named
// and is not valid is a leftover.
func (s *sweep) checkGone(named []storepath.Path) error {
	for _, p := range named {
		path := s.c.Layout.Dir.Join(p)
		valid, err := s.c.DB.Valid(p)
		if err != nil {
			return err
		}
		if valid {
			return &AliveError{path}
		}
		if slices.Contains(s.result.Paths, path) {
			continue
		}
		gone, err := s.leftover(p.Base())
		if err == nil && !gone {
			err = fmt.Errorf("delete '%s': %w", path, pathlock.ErrBusy)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// needed are those among the paths that one which is not among them refers to or
// keeps.
func (l *liveness) needed(among map[int32]bool) map[int32]bool {
	needed := map[int32]bool{}
	need := func(by, at int32) {
		if by != at && !among[by] && among[at] {
			needed[at] = true
		}
	}
	for at, n := range l.graph.Nodes {
		by := int32(at)
		for _, r := range n.References {
			need(by, r)
		}
		if l.keepDerivations && n.Deriver >= 0 {
			need(by, n.Deriver)
		}
		if l.keepOutputs {
			for _, o := range n.Outputs {
				need(by, o)
			}
		}
	}
	return needed
}
