package ports

import (
	"context"
	"sync"
	"time"

	"troupe/storage/gc"
)

// SpacePolicy is what the settings say about free space on the store's disk.
type SpacePolicy struct {
	Limits gc.Limits // a Min of 0 is none
	Every  time.Duration
	// What a collection keeps beside what is needed.
	KeepDerivations, KeepOutputs bool
}

// Space collects garbage while the service runs, when space on the store's disk
// is short.
type Space struct {
	s      Services
	auto   gc.Auto
	free   func() (uint64, error)
	cancel context.CancelFunc
	over   sync.WaitGroup
}

// NewSpace begins to look at the space, where the policy wants it.
func NewSpace(s Services) *Space {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Space{s: s, cancel: cancel, free: func() (uint64, error) { return gc.FreeSpace(s.Layout) }}
	p.over.Go(func() { p.watch(ctx) })
	return p
}

// idleEvery is how often it is looked whether the policy wants anything.
const idleEvery = 5 * time.Second

func (p *Space) watch(ctx context.Context) {
	for {
		every := idleEvery
		if policy, err := p.s.PolicyOf(""); err == nil && policy.Space.Limits.Min > 0 {
			every = max(policy.Space.Every, time.Second)
			p.look(ctx, policy.Space)
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
	}
}

// look collects if too little is free.
func (p *Space) look(ctx context.Context, policy SpacePolicy) {
	free, err := p.free()
	if err == nil {
		var freed gc.Result
		var ran bool
		freed, ran, err = p.auto.Collect(ctx, p.s.Collector, free, policy.Limits, gc.Options{
			KeepDerivations: policy.KeepDerivations, KeepOutputs: policy.KeepOutputs})
		if ran {
			p.s.Log.Info().Int("paths", len(freed.Paths)).Uint64("bytes", freed.Freed).Uint64("free", free).Msg("space was short: garbage is collected")
		}
	}
	if err != nil && ctx.Err() == nil {
		p.s.Log.Error().Err(err).Msg("collect garbage, as space is short")
	}
}

// Close ends it.
func (p *Space) Close() {
	p.cancel()
	p.over.Wait()
}
