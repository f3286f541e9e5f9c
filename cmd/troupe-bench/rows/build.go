package rows

import (
	"context"
	"fmt"

	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
)

// build is a graph of trivial derivations that the stock client asks for.
type build struct {
	*Env
	shape graph.Shape
	items []graph.Item // of this round
}

func newBuild(shape func(*Env) graph.Shape) func(*Env) Task {
	return func(e *Env) Task { return &build{Env: e, shape: shape(e)} }
}

// Prepare implements [Task]: the derivations are added.
func (t *build) Prepare(ctx context.Context, s *side.Side, round int) error {
	m, err := t.maker(ctx, s, fmt.Sprint("-", round))
	if err != nil {
		return err
	}
	if t.items, err = m.Make(t.shape); err != nil {
		return err
	}
	return s.AddDerivations(ctx, t.items)
}

// Measure implements [Task].
func (t *build) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	cost, err := t.builder(ctx, 100, graph.Trivial)
	if err != nil {
		return err
	}
	top := t.items[t.shape.Top()]
	ran, err := s.Run(ctx, "nix-store", "--realise", s.Dir.Join(top.Path))
	if err != nil {
		return err
	}
	if ran.Out != s.Dir.Join(top.Out) {
		return fmt.Errorf("realise '%s' at the daemon '%s': the answer is '%s'", top.Path, s.Name, ran.Out)
	}
	sample.Items = len(t.items)
	sample.Wall = ran.Took.Seconds()
	sample.Builder = cost.Seconds() * float64(len(t.items))
	return nil
}

// Check implements [Task]: every output is what its builder writes.
func (t *build) Check(ctx context.Context, s *side.Side) error { return s.Check(ctx, t.items) }

// again asks once more for what was built before: there is nothing to do.
type again struct{ *build }

func newAgain(shape func(*Env) graph.Shape) func(*Env) Task {
	return func(e *Env) Task { return again{&build{Env: e, shape: shape(e)}} }
}

// Prepare implements [Task]: what is asked for is built once.
func (t again) Prepare(ctx context.Context, s *side.Side, round int) error {
	if round > 0 {
		return nil
	}
	if err := t.build.Prepare(ctx, s, round); err != nil {
		return err
	}
	return t.build.Measure(ctx, s, &report.Sample{})
}

// Measure implements [Task].
func (t again) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	err := t.build.Measure(ctx, s, sample)
	sample.Items, sample.Builder = 1, 0
	return err
}
