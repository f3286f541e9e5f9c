// Package rows has the work that daemons are measured by, and measures them.
package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"troupe/cmd/troupe-bench/meter"
	"troupe/cmd/troupe-bench/report"
	"troupe/cmd/troupe-bench/side"
)

// Row is one piece of work.
type Row struct {
	Name  string // as it is asked for
	Work  string
	Items string
	Score string          // what [report.Sample.Score] counts; "" where time is what counts
	Conf  side.Conf       // of both daemons
	New   func(*Env) Task // for one side
}

// Task is the work of a row at one side.
type Task interface {
	// Prepare makes ready for a round, which is numbered from 0. It is not
	// measured.
	Prepare(ctx context.Context, s *side.Side, round int) error
	// Measure does the work, and fills in what it knows: Items and Wall at least.
	Measure(ctx context.Context, s *side.Side, sample *report.Sample) error
	// Check reports a result that is wrong.
	Check(ctx context.Context, s *side.Side) error
}

// Env is what tasks share.
type Env struct {
	Work  string  // a directory for what is made once
	Salt  string  // of this run
	Scale float64 // of the usual size of the work
	Box   string  // a directory with bin/busybox
	cost  map[string]time.Duration
}

// n is a number of things at this run's scale.
func (e *Env) n(usual int) int { return max(1, int(math.Round(float64(usual)*e.Scale))) }

// Bench measures.
type Bench struct {
	Env
	Self   side.Spec
	Peer   *side.Spec // nil: self alone
	Rounds int
	Log    io.Writer // what is going on
	uid    int
}

// New makes a bench with its files below work.
func New(work string, self side.Spec, peer *side.Spec) (*Bench, error) {
	b := &Bench{Self: self, Peer: peer, Rounds: 3, Log: io.Discard, uid: 700_000 + os.Getpid()%10_000*100}
	b.Env = Env{Work: work, Salt: fmt.Sprint(time.Now().UnixNano()), Scale: 1, Box: filepath.Join(work, "box"), cost: map[string]time.Duration{}}
	return b, copyBox(b.Box)
}

// Measure runs one row: both sides set up, rounds of one after the other, both
// taken down.
func (b *Bench) Measure(ctx context.Context, r Row) (out report.Row) {
	out = report.Row{Name: r.Name, Work: r.Work, Items: r.Items, Score: r.Score}
	err := b.measure(ctx, r, &out)
	if err != nil {
		out.Self, out.Peer, out.Error = nil, nil, err.Error()
	}
	return out
}

// runner is a side at work on a row.
type runner struct {
	*side.Side
	task    Task
	samples *[]report.Sample
}

func (b *Bench) measure(ctx context.Context, r Row, out *report.Row) (err error) {
	if r.Conf.Jobs == 0 {
		r.Conf.Jobs = runtime.NumCPU()
	}
	served, end, err := serveCache(b.Work)
	if err != nil {
		return err
	}
	defer end()
	for i, line := range r.Conf.Lines {
		r.Conf.Lines[i] = strings.NewReplacer("{cache}", cacheURL(b.Work), "{served}", served).Replace(line)
	}
	var runners []runner
	defer func() {
		for _, run := range runners {
			err = errors.Join(err, run.Close())
		}
	}()
	add := func(spec side.Spec, samples *[]report.Sample) error {
		s, err := spec.Open(ctx, b.Work, b.uid+50*len(runners), r.Conf)
		if err == nil {
			runners = append(runners, runner{s, r.New(&b.Env), samples})
		}
		return err
	}
	if b.Peer != nil {
		if err := add(*b.Peer, &out.Peer); err != nil {
			return err
		}
	}
	if err := add(b.Self, &out.Self); err != nil {
		return err
	}
	for round := range b.Rounds {
		for _, run := range runners {
			if err := b.round(ctx, r, run, round); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Bench) round(ctx context.Context, r Row, run runner, round int) error {
	if err := run.Show(); err != nil {
		return err
	}
	if err := run.task.Prepare(ctx, run.Side, round); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	before, err := meter.Rest(ctx, run.Processes)
	if err != nil {
		return err
	}
	var s report.Sample
	if s.Idle, err = meter.Memory(run.Processes); err != nil {
		return err
	}
	peak := meter.Peak(run.Processes)
	err = run.task.Measure(ctx, run.Side, &s)
	most, failed := peak()
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	after, err := meter.Rest(ctx, run.Processes)
	if err != nil {
		return err
	}
	s.CPU, s.Peak = (after - before).Seconds(), max(most, s.Peak)
	if err := run.task.Check(ctx, run.Side); err != nil {
		return err
	}
	fmt.Fprintf(b.Log, "%s %s, round %d, %s: %.3f s, %.3f s of CPU (builders %.3f), %d MiB\n", r.Name, r.Work, round+1, run.Name, s.Wall, s.CPU, s.Builder, s.Peak>>20)
	*run.samples = append(*run.samples, s)
	return nil
}
