package rows

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"troupe/cmd/troupe-bench/graph"
	"troupe/cmd/troupe-bench/meter"
	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
)

// sleepers are derivations that take some time, for several clients.
type sleepers struct {
	*Env
	count int
	sleep string // seconds
	items []graph.Item
}

// Prepare implements [Task].
func (t *sleepers) Prepare(ctx context.Context, s *side.Side, round int) error {
	m, err := t.maker(ctx, s, fmt.Sprint("-", round))
	if err != nil {
		return err
	}
	t.items = nil
	for i := range t.count {
		script := fmt.Sprintf(`"$box" sleep %s; echo "$name" > "$out"`, t.sleep)
		item, err := m.Script(fmt.Sprint("sleep-", i), script, nil)
		if err != nil {
			return err
		}
		t.items = append(t.items, item)
	}
	return s.AddDerivations(ctx, t.items)
}

// Check implements [Task].
func (t *sleepers) Check(ctx context.Context, s *side.Side) error { return s.Check(ctx, t.items) }

// realise asks for some of them, and says when it has them.
func (t *sleepers) realise(ctx context.Context, s *side.Side, items []graph.Item) (time.Time, error) {
	args := []string{"--realise"}
	for _, i := range items {
		args = append(args, s.Dir.Join(i.Path))
	}
	_, err := s.Run(ctx, "nix-store", args...)
	return time.Now(), err
}

// second is a client that wants what is being built for another. What counts is how
// much later it has it.
type second struct{ sleepers }

func newSecond(e *Env) Task { return &second{sleepers{Env: e, count: 1, sleep: "3"}} }

// Measure implements [Task].
func (t *second) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	var ends [2]time.Time
	all, ctx := errgroup.WithContext(ctx)
	for i := range ends {
		all.Go(func() (err error) {
			time.Sleep(time.Duration(i) * time.Second) // the first one's build has begun
			ends[i], err = t.realise(ctx, s, t.items)
			return err
		})
	}
	err := all.Wait()
	sample.Items, sample.Wall = 1, max(0, ends[1].Sub(ends[0])).Seconds()
	return err
}

// shared is two clients with builds of their own at once.
type shared struct {
	sleepers
	score func(most int, apart time.Duration) float64
}

// newShared scores how many are built at once.
func newShared(e *Env) Task {
	return &shared{sleepers{Env: e, count: 8, sleep: "1"}, func(most int, _ time.Duration) float64 { return float64(most) }}
}

// newFair scores how much longer one client waits than the other, in seconds.
func newFair(e *Env) Task {
	return &shared{sleepers{Env: e, count: 8, sleep: "1"}, func(_ int, apart time.Duration) float64 { return apart.Seconds() }}
}

// Measure implements [Task].
func (t *shared) Measure(ctx context.Context, s *side.Side, sample *report.Sample) error {
	begun := time.Now()
	var ends [2]time.Time
	clients, inner := errgroup.WithContext(ctx)
	for i := range ends {
		clients.Go(func() (err error) {
			ends[i], err = t.realise(inner, s, t.items[i*4:i*4+4])
			return err
		})
	}
	done := make(chan struct{})
	var most int
	var watch errgroup.Group
	watch.Go(func() (err error) {
		most, err = mostSleeping(done, s.Processes)
		return err
	})
	err := clients.Wait()
	close(done)
	if failed := watch.Wait(); err == nil {
		err = failed
	}
	sample.Items, sample.Wall = t.count, time.Since(begun).Seconds()
	sample.Score = t.score(most, time.Duration(math.Abs(float64(ends[1].Sub(ends[0])))))
	return err
}

// mostSleeping is how many builders slept at once, at most, until done.
func mostSleeping(done <-chan struct{}, p meter.Processes) (most int, err error) {
	for {
		select {
		case <-done:
			return most, nil
		case <-time.After(50 * time.Millisecond):
		}
		pids, err := p.List()
		if err != nil {
			return most, err
		}
		now := 0
		for _, pid := range pids {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if err == nil && strings.HasSuffix(string(line), "busybox\x00sleep\x001\x00") {
				now++
			}
		}
		most = max(most, now)
	}
}
