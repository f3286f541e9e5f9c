package main

import (
	"fmt"
	"slices"

	"troupe/actors/ports"
	"troupe/messages"
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
	services := ports.Services{Layout: s.location, DB: st.db, Hashes: ports.NewHashes(s.location, st.db)}
	m, err := services.Missing(wanted, st.db.Valid)
	if err != nil {
		return err
	}
	return tellMissing(s, m.Build, m.Unknown)
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
