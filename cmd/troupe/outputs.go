package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"troupe/messages"
	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

// wantedOutputs are the outputs of a result that the target asked for.
func wantedOutputs(t messages.Target, r messages.Result) (outputs []messages.Output) {
	for _, o := range r.Outputs {
		if slices.Contains(t.Outputs, messages.AllOutputs) || slices.Contains(t.Outputs, o.Name) {
			outputs = append(outputs, o)
		}
	}
	return outputs
}

// validPaths are the paths that a result made valid for its target.
func validPaths(t messages.Target, r messages.Result) (paths []storepath.Path) {
	if !t.IsBuild() {
		return []storepath.Path{t.Path}
	}
	for _, o := range wantedOutputs(t, r) {
		paths = append(paths, o.Path)
	}
	return paths
}

// dryRun says what would be built, in the order in which it could be.
func dryRun(s *session, st *openedStore, wanted []messages.Target) error {
	d := dry{s: s, st: st, seen: map[storepath.Path]bool{}}
	for _, t := range wanted {
		if err := d.visit(t); err != nil {
			return err
		}
	}
	return tellMissing(s, d.build, d.unknown)
}

// tellMissing says what would be built, and what cannot be had.
func tellMissing(s *session, build, unknown []storepath.Path) error {
	if len(build) > 0 {
		fmt.Fprintf(s.stderr, "these %d derivations would be built:\n", len(build))
	}
	for _, p := range build {
		fmt.Fprintf(s.stderr, "  %s\n", s.location.Dir.Join(p))
	}
	if len(unknown) > 0 {
		names := make([]string, len(unknown))
		for i, p := range unknown {
			names[i] = s.location.Dir.Join(p)
		}
		return fmt.Errorf("path %s does not exist and cannot be created", quoteAll(names))
	}
	return nil
}

type dry struct {
	s       *session
	st      *openedStore
	seen    map[storepath.Path]bool
	build   []storepath.Path
	unknown []storepath.Path
}

func (d *dry) visit(t messages.Target) error {
	if !t.IsBuild() {
		valid, err := d.st.db.Valid(t.Path)
		if err == nil && !valid {
			d.unknown = append(d.unknown, t.Path)
		}
		return err
	}
	if d.seen[t.Path] {
		return nil
	}
	data, err := os.ReadFile(d.s.location.RealPath(t.Path))
	if err != nil {
		return err
	}
	drv, err := derivation.Parse(d.s.location.Dir, strings.TrimSuffix(t.Path.Name(), ".drv"), data)
	if err != nil {
		return err
	}
	there, err := d.allValid(drv, t)
	if err != nil || there {
		return err
	}
	d.seen[t.Path] = true
	for _, in := range drv.Inputs {
		if err := d.visit(messages.Target{Path: in.Path, Outputs: in.Outputs}); err != nil {
			return err
		}
	}
	d.build = append(d.build, t.Path)
	return nil
}

func (d *dry) allValid(drv *derivation.Derivation, t messages.Target) (bool, error) {
	for _, o := range drv.Outputs {
		if !slices.Contains(t.Outputs, messages.AllOutputs) && !slices.Contains(t.Outputs, o.Name) {
			continue
		}
		if valid, err := d.st.db.Valid(o.Path); err != nil || !valid {
			return false, err
		}
	}
	return true, nil
}
