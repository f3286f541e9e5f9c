package rows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"troupe/actors/ports/remotestore"
	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe-bench/meter"
	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
	"troupe/cmd/troupe/remote"
	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// questions are requests over connections that each send one at a time.
type questions struct {
	*Env
	connections int
	paths       []storepath.Path
}

func newQuestions(connections int) func(*Env) Task {
	return func(e *Env) Task { return &questions{Env: e, connections: connections} }
}

// Prepare implements [Task]: there are paths to ask for.
func (t *questions) Prepare(ctx context.Context, s *side.Side, round int) error {
	if round > 0 {
		return nil
	}
	m, err := t.maker(ctx, s, "")
	if err != nil {
		return err
	}
	items, err := m.Make(graph.Chain(100))
	for _, i := range items {
		t.paths = append(t.paths, i.Path)
	}
	if err == nil {
		err = s.AddDerivations(ctx, items)
	}
	return err
}

// Measure implements [Task].
func (t *questions) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	clients, err := dial(ctx, s, t.connections)
	defer closeAll(clients)
	if err != nil {
		return err
	}
	each := t.n(30_000) / t.connections
	all, ctx := errgroup.WithContext(ctx)
	begun := time.Now()
	for _, c := range clients {
		all.Go(func() error { return t.ask(ctx, c, each) })
	}
	err = all.Wait()
	sample.Wall, sample.Items = time.Since(begun).Seconds(), each*t.connections
	return err
}

func (t *questions) ask(ctx context.Context, c *remote.Client, n int) error {
	for i := range n {
		p := t.paths[i*7919%len(t.paths)]
		reply, err := remotestore.Tell[*workerproto.Bool](ctx, c.Conn, &workerproto.IsValidPath{Path: p})
		if err != nil {
			return err
		}
		if !reply.Value {
			return fmt.Errorf("ask for '%s': it is not valid", p)
		}
	}
	return nil
}

// Check implements [Task]; every answer was looked at.
func (t *questions) Check(context.Context, *side.Side) error { return nil }

func dial(ctx context.Context, s *side.Side, n int) (list []*remote.Client, err error) {
	for range n {
		c, err := s.Dial(ctx)
		if err != nil {
			return list, err
		}
		list = append(list, c)
	}
	return list, nil
}

func closeAll(list []*remote.Client) (err error) {
	for _, c := range list {
		err = errors.Join(err, c.Close())
	}
	return err
}

// nothing is a task without preparation, whose result Measure has checked.
type nothing struct{ *Env }

func (nothing) Prepare(context.Context, *side.Side, int) error { return nil }
func (nothing) Check(context.Context, *side.Side) error        { return nil }

// hello connects, is greeted and goes.
type hello struct{ nothing }

func newHello(e *Env) Task { return hello{nothing{e}} }

// Measure implements [Task].
func (t hello) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	sample.Items = t.n(300)
	begun := time.Now()
	for range sample.Items {
		c, err := s.Dial(ctx)
		if err == nil {
			err = c.Close()
		}
		if err != nil {
			return err
		}
	}
	sample.Wall = time.Since(begun).Seconds()
	return nil
}

// idle has connections that do nothing. Its score is what memory they cost, in
// MiB.
type idle struct{ nothing }

func newIdle(e *Env) Task { return idle{nothing{e}} }

// Measure implements [Task].
func (t idle) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	begun := time.Now()
	clients, err := dial(ctx, s, 100)
	defer closeAll(clients)
	if err != nil {
		return err
	}
	sample.Wall, sample.Items = time.Since(begun).Seconds(), len(clients)
	if _, err := meter.Rest(ctx, s.Processes); err != nil {
		return err
	}
	now, err := meter.Memory(s.Processes)
	sample.Peak, sample.Score = now, float64(now-sample.Idle)/(1<<20)
	return err
}
