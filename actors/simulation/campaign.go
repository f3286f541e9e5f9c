package simulation

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// Campaign is many runs.
type Campaign struct {
	First, Last uint64 // seeds
	Faults      Faults
	Vary        func(Scenario) Scenario // nil: as [Random] has them
	AsIs        bool                    // failures are not made smaller
	Failures    int                     // how many are looked for; 0 is one
}

// Campaigned is how a campaign went.
type Campaigned struct {
	Runs     int
	Steps    int
	Virtual  time.Duration // in the worlds' own time
	Elapsed  time.Duration
	Coverage *Coverage
	Failures []*Failure // shrunk, but AsIs
}

// Run runs a campaign on all processors, until ctx ends or it is through.
func (c Campaign) Run(ctx context.Context) Campaigned {
	began := time.Now()
	out := Campaigned{Coverage: NewCoverage()}
	var mu sync.Mutex // guards out and next
	next := c.First
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next > c.Last || next < c.First || ctx.Err() != nil || len(out.Failures) >= max(c.Failures, 1) {
			return 0, false
		}
		next++
		return next - 1, true
	}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			seen := NewCoverage()
			for seed, ok := take(); ok; seed, ok = take() {
				r := Run(c.scenario(seed), Options{Coverage: seen})
				mu.Lock()
				out.Runs++
				out.Steps += r.Steps
				out.Virtual += r.Elapsed
				if r.Failure != nil {
					out.Failures = append(out.Failures, r.Failure)
				}
				mu.Unlock()
			}
			mu.Lock()
			out.Coverage.Add(seen)
			mu.Unlock()
		})
	}
	wg.Wait()
	out.Elapsed = time.Since(began)
	for i, f := range out.Failures {
		if !c.AsIs {
			out.Failures[i] = Shrink(ctx, f)
		}
	}
	return out
}

func (c Campaign) scenario(seed uint64) Scenario {
	s := Random(seed, c.Faults)
	if c.Vary != nil {
		s = c.Vary(s)
	}
	return s
}
