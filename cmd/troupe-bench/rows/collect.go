package rows

import (
	"context"
	"fmt"
	"os"

	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
	"troupe/storage/storepath"
)

// collection deletes paths that nothing needs: derivations that were never built.
type collection struct {
	*Env
	before []storepath.Path
}

func newCollection(e *Env) Task { return &collection{Env: e} }

// Prepare implements [Task].
func (t *collection) Prepare(ctx context.Context, s *side.Side, round int) error {
	m, err := t.maker(ctx, s, fmt.Sprint("-", round))
	if err != nil {
		return err
	}
	items, err := m.Make(graph.Independent(t.n(10_000)))
	if err != nil {
		return err
	}
	if err := s.AddDerivations(ctx, items); err != nil {
		return err
	}
	t.before, err = s.Valid(ctx)
	return err
}

// Measure implements [Task].
func (t *collection) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	ran, err := s.Run(ctx, "nix-store", "--gc")
	sample.Items, sample.Wall = len(t.before), ran.Took.Seconds()
	return err
}

// Check implements [Task]: all are gone, from the store as well.
func (t *collection) Check(ctx context.Context, s *side.Side) error {
	left, err := s.Valid(ctx)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("check the collection of the daemon '%s': %d of %d paths are left", s.Name, len(left), len(t.before))
	}
	for _, p := range t.before {
		if _, e := os.Lstat(s.Dir.Join(p)); e == nil && err == nil {
			err = fmt.Errorf("check the collection of the daemon '%s': '%s' is left", s.Name, p)
		}
	}
	return err
}
