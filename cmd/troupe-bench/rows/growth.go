package rows

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
)

// growth are rows of which the cost of an item should be the same whatever the
// size.
func growth() (list []Row) {
	add := func(name, work string, shape func(n int) graph.Shape, sizes ...int) {
		for _, n := range sizes {
			list = append(list, Row{Name: name, Work: fmt.Sprintf("%s, %d derivations, each", work, len(shape(n).Nodes)),
				New: newBuild(func(e *Env) graph.Shape { return shape(e.n(n)) })})
		}
	}
	add("G1", "independent", graph.Independent, 200, 1000, 5000, 10_000)
	add("G2", "chain", graph.Chain, 200, 1000, 5000, 10_000)
	add("G3", "layers of 50, 5 inputs", func(n int) graph.Shape { return graph.Layered(max(1, n/50), 50, 5) }, 200, 1000, 5000, 10_000)
	add("G4", "as real software", graph.Corpus, 200, 1000, 5000, 10_000)
	list = append(list, Row{Name: "G5", Work: "64 clients with a chain of 20 each, a step", New: newCrowd})
	return append(list, largeStore()...)
}

// OfGraph is a row that builds a graph of somebody's with trivial builders.
func OfGraph(s graph.Shape) Row {
	return Row{Name: "G4", Work: fmt.Sprintf("a graph that was given, %d derivations, each", len(s.Nodes)), New: newBuild(func(*Env) graph.Shape { return s })}
}

// crowd is many clients at once, each with a graph of its own.
type crowd struct {
	*Env
	clients [][]graph.Item
}

func newCrowd(e *Env) Task { return &crowd{Env: e} }

// Prepare implements [Task].
func (t *crowd) Prepare(ctx context.Context, s *side.Side, round int) error {
	t.clients = nil
	for i := range t.n(64) {
		m, err := t.maker(ctx, s, fmt.Sprint("-", round, "-", i))
		if err != nil {
			return err
		}
		items, err := m.Make(graph.Chain(20))
		if err == nil {
			err = s.AddDerivations(ctx, items)
		}
		if err != nil {
			return err
		}
		t.clients = append(t.clients, items)
	}
	return nil
}

// Measure implements [Task].
func (t *crowd) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	cost, err := t.builder(ctx, 100, graph.Trivial)
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	begun := time.Now()
	for _, items := range t.clients {
		sample.Items += len(items)
		all.Go(func() error {
			_, err := s.Run(ctx, "nix-store", "--realise", s.Dir.Join(items[len(items)-1].Path))
			return err
		})
	}
	err = all.Wait()
	sample.Wall, sample.Builder = time.Since(begun).Seconds(), cost.Seconds()*float64(sample.Items)
	return err
}

// Check implements [Task].
func (t *crowd) Check(ctx context.Context, s *side.Side) error {
	for _, items := range t.clients {
		if err := s.Check(ctx, items); err != nil {
			return err
		}
	}
	return nil
}
