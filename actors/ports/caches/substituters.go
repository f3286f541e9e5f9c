package caches

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"troupe/actors/ports"
	"troupe/actors/ports/remotestore"
	"troupe/storage/binarycache"
	"troupe/storage/narinfocache"
	"troupe/storage/storepath"
	"troupe/storage/storeurl"
	"troupe/storage/transfer"
)

// Substituters are the caches that settings name, for all clients of a process:
// one set of connections and one circuit breaker for each cache.
type Substituters struct {
	s         ports.Services
	userAgent string
	memory    Memory

	awsKey func(profile string) (binarycache.AWSKey, error)

	ctx     context.Context // of what is asked on behalf of nobody
	end     context.CancelFunc
	running sync.WaitGroup

	opening sync.Once
	answers *narinfocache.DB // nil where nothing is remembered

	mu    sync.Mutex // guards what follows
	pools map[string]*pool
}

// pool has the caches of those whose settings for transfers are equal.
type pool struct {
	*binarycache.Pool
	caches map[string]*Substituter // by URL
}

// close gives up idle connections.
func (p *pool) close() {
	p.Close()
	for _, sub := range p.caches {
		if sub == nil {
			continue
		}
		switch at := sub.source.(type) {
		case *programSource:
			at.close()
		case *remoteSource:
			if err := at.store.Close(); err != nil {
				sub.s.Log.Warn().Err(err).Msg("close substituter")
			}
		}
	}
}

// poolsKept bounds the pools: clients may want time-outs of their own.
const poolsKept = 32

// Substituter is one cache, or another store.
type Substituter struct {
	source
	*Substituters
	Config storeurl.Common
	dir    storepath.Dir // of this machine's store
	remote bool
	intro  introduction
}

// String is the cache's name.
func (s *Substituter) String() string { return s.source.String() }

// Memory says how it is remembered what caches say.
type Memory struct {
	Dir    string // the database's
	Marker string // the file with which it is all forgotten; see [narinfocache.Options]
	Files  bool   // also what directories of this machine say
}

// NewSubstituters knows no cache yet.
func NewSubstituters(s ports.Services, userAgent string, m Memory) *Substituters {
	ctx, end := context.WithCancel(context.Background())
	return &Substituters{s: s, awsKey: binarycache.AWSKeys(), userAgent: userAgent, memory: m, ctx: ctx, end: end, pools: map[string]*pool{}}
}

// Close ends what is under way.
func (s *Substituters) Close() {
	s.end()
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pools {
		p.close()
	}
	if s.answers == nil {
		return
	}
	if err := s.answers.Close(); err != nil {
		s.s.Log.Warn().Err(err).Msg("close what substituters said")
	}
}

// Of are the caches of some settings, those with the lower priority first. Those
// that are not known yet are asked what they are, all at once.
func (s *Substituters) Of(ctx context.Context, settings string) ([]*Substituter, ports.BuildPolicy, error) {
	policy, err := s.s.PolicyOf(settings)
	if err != nil || len(policy.Caches.Substituters) == 0 {
		return nil, policy, err
	}
	list, err := s.open(policy)
	if err != nil {
		return nil, policy, err
	}
	priorities := make([]int, len(list))
	err = ports.ForEach(len(list), func(i int) error {
		d, err := list[i].introduce(ctx)
		if err == nil {
			priorities[i] = d.Priority
		}
		return ctx.Err()
	})
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(priorities[a], priorities[b]) })
	sorted := make([]*Substituter, len(list))
	for i, at := range order {
		sorted[i] = list[at]
	}
	return sorted, policy, err
}

// open finds or makes the caches that a policy names. A URL that is not one is
// said and passed over, as Nix does.
func (s *Substituters) open(policy ports.BuildPolicy) ([]*Substituter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pools[policy.Caches.Transfers]
	if p == nil {
		if len(s.pools) >= poolsKept {
			s.forgetPools()
		}
		p = &pool{Pool: binarycache.NewPool(s.settings(policy)), caches: map[string]*Substituter{}}
		s.pools[policy.Caches.Transfers] = p
	}
	var list []*Substituter
	for _, url := range policy.Caches.Substituters {
		sub, known := p.caches[url]
		if !known {
			var err error
			if sub, err = s.make(p, policy, url); err != nil {
				s.s.Log.Warn().Err(err).Msg("use substituter")
			}
			p.caches[url] = sub
		}
		if sub != nil && !slices.Contains(list, sub) {
			list = append(list, sub)
		}
	}
	return list, nil
}

// forgetPools makes all caches unknown; under mu. Who uses one goes on, on new
// connections.
func (s *Substituters) forgetPools() {
	for _, old := range s.pools {
		old.close()
	}
	clear(s.pools)
}

// make makes the substituter of a URL; nil where there can be none.
func (s *Substituters) make(p *pool, policy ports.BuildPolicy, url string) (*Substituter, error) {
	sub := &Substituter{Substituters: s, dir: s.s.Layout.Dir, remote: true}
	if strings.HasPrefix(url, programScheme) {
		program, err := newProgramSource(url, s.s.Layout)
		if err != nil {
			return nil, err
		}
		sub.source, sub.Config = program, program.config
		return sub, nil
	}
	if !remotestore.Known(url) {
		cache, err := p.Open(url)
		if err != nil {
			return nil, err
		}
		sub.source, sub.Config, sub.remote = cacheSource{cache}, cache.Config.Common, cache.Config.URL.Scheme != "file"
		return sub, nil
	}
	store, config, err := remotestore.OpenAny(url, remotestore.Settings{Dir: s.s.Layout.Dir,
		ConnectTimeout: policy.Builtin.ConnectTimeout, Say: func(line string) { s.s.Log.Info().Msg(line) }})
	if err != nil {
		return nil, err
	}
	for _, w := range config.Warnings {
		s.s.Log.Warn().Msg(w)
	}
	sub.source, sub.Config = &remoteSource{store: store, config: config, stall: policy.Builtin.StallTimeout}, config.Common
	return sub, nil
}

func (s *Substituters) settings(policy ports.BuildPolicy) binarycache.Settings {
	b, c := policy.Builtin, policy.Caches
	return binarycache.Settings{
		StoreDir: s.s.Layout.Dir, UserAgent: s.userAgent, Attempts: b.Attempts, StallTimeout: b.StallTimeout,
		Settings: transfer.Settings{Netrc: b.Netrc, CA: b.CA, Proxy: b.Proxy, ConnectTimeout: b.ConnectTimeout,
			Connections: c.Connections, HTTP1: c.HTTP1, Dial: dial(b.ConnectTimeout)},
		Answers: &answers{s, c}, FilesToo: s.memory.Files, SpoolDir: s.s.Layout.StagingDir(),
		AWSKey:  s.awsKey,
		ReadKey: func(string) (binarycache.Signer, error) { return nil, errors.New("nothing is uploaded here") },
		Warn:    func(line string) { s.s.Log.Warn().Msg(line) },
	}
}

// answers remembers what caches said, for as long as a policy wants. The database
// is opened when it is used first: most builds ask no cache.
type answers struct {
	s *Substituters
	c ports.CachePolicy
}

func (a *answers) db() *narinfocache.DB {
	a.s.opening.Do(func() {
		db, err := narinfocache.Open(a.s.memory.Dir, narinfocache.Options{Logger: a.s.s.Log, Marker: a.s.memory.Marker, Forgotten: a.s.forget})
		if err != nil {
			a.s.s.Log.Warn().Err(err).Msg("remember what substituters say")
			return
		}
		a.s.answers = db
		a.s.running.Go(a.s.purge)
	})
	if a.s.answers == nil {
		return nil
	}
	return a.s.answers.With(a.c.Positive, a.c.Negative, a.c.Meta)
}

// forget forgets what caches said of themselves, once what they said is forgotten.
func (s *Substituters) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetPools()
}

func (a *answers) Lookup(cache, file string) (text []byte, present, known bool) {
	if db := a.db(); db != nil {
		return db.Lookup(cache, file)
	}
	return nil, false, false
}

func (a *answers) Remember(cache, file string, text []byte, present bool) {
	if db := a.db(); db != nil {
		db.Remember(cache, file, text, present)
	}
}

func (a *answers) Forget(cache, file string) {
	if db := a.db(); db != nil {
		db.Forget(cache, file)
	}
}

// purgeEvery is how often what counts no more is dropped.
const purgeEvery = 24 * time.Hour

func (s *Substituters) purge() {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			dropped, err := s.answers.Purge()
			s.s.Log.Debug().Err(err).Msg(fmt.Sprintf("%d answers of substituters are forgotten", dropped))
		}
	}
}
