package main

import (
	"fmt"
	"slices"

	"github.com/rs/zerolog"

	"troupe/actors/ports"
	"troupe/actors/ports/caches"
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

// dryRun says what would be built, in the order in which it could be, and what
// fetched.
func dryRun(s *session, st *openedStore, wanted []messages.Target) error {
	p := &policies{location: s.location}
	if err := p.set(s.settings); err != nil {
		return err
	}
	services := ports.Services{Layout: s.location, DB: st.db, Hashes: ports.NewHashes(s.location, st.db), PolicyOf: p.of,
		Log: zerolog.New(zerolog.ConsoleWriter{Out: s.stderr, NoColor: true, PartsExclude: []string{"time"}}).Level(zerolog.WarnLevel)}
	subs := caches.NewSubstituters(services, userAgent(), memory(s.location))
	defer subs.Close()
	m, err := services.Missing(wanted, subs.Eyes(s.ctx, termsOf(s.settings), st.db.Valid))
	if err != nil {
		return err
	}
	return tellMissing(s, m)
}

// tellMissing says what would be built and fetched, and what cannot be had.
func tellMissing(s *session, m ports.Missing) error {
	if len(m.Build) > 0 {
		fmt.Fprintf(s.stderr, "these %d derivations would be built:\n", len(m.Build))
	}
	for _, p := range m.Build {
		fmt.Fprintf(s.stderr, "  %s\n", s.location.Dir.Join(p))
	}
	if len(m.Substitute) > 0 {
		fmt.Fprintf(s.stderr, "these %d paths would be fetched (%.1f MiB download, %.1f MiB unpacked):\n",
			len(m.Substitute), float64(m.Download)/(1<<20), float64(m.NarSize)/(1<<20))
	}
	for _, p := range m.Substitute {
		fmt.Fprintf(s.stderr, "  %s\n", s.location.Dir.Join(p))
	}
	if len(m.Unknown) > 0 {
		names := make([]string, len(m.Unknown))
		for i, p := range m.Unknown {
			names[i] = s.location.Dir.Join(p)
		}
		return fmt.Errorf("path %s does not exist and cannot be created", quoteAll(names))
	}
	return nil
}

// userAgent is what servers are told.
func userAgent() string { return "troupe/" + version }
