package main

import (
	"fmt"
	"slices"
	"strings"

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
	if len(m.Build) > 0 {
		fmt.Fprintf(s.stderr, "these %d derivations would be built:\n", len(m.Build))
	}
	for _, p := range m.Build {
		fmt.Fprintf(s.stderr, "  %s\n", s.location.Dir.Join(p))
	}
	if len(m.Unknown) > 0 {
		unknown := make([]string, len(m.Unknown))
		for i, p := range m.Unknown {
			unknown[i] = s.location.Dir.Join(p)
		}
		return fmt.Errorf("path '%s' does not exist and cannot be created", strings.Join(unknown, "', '"))
	}
	return nil
}
