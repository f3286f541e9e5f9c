package binarycache

import (
	"fmt"
	"sync"
	"time"

	"troupe/storage/transfer"
)

// Pool makes caches, and has what those of one place share, for all clients of a process: connections, bounds, and the
// circuit breaker.
type Pool struct {
	settings  Settings
	unpackers unpackers

	mu     sync.Mutex
	places map[string]*place // by URL without settings
}

// place is where one or more caches are.
type place struct {
	files      files
	remote     bool
	remembered bool          // what it says is kept
	requests   chan struct{} // holds a token for each that is under way
	nars       chan struct{} // of these, NARs: fewer, so that look-ups get through
	uploads    chan struct{} // holds a token for each that is packed or sent

	mu      sync.Mutex
	breaker Breaker
}

const (
	defaultConnections = 25  // as Nix's http-connections
	streams            = 100 // requests at once over HTTP/2, which all servers allow
	defaultSpeed       = 128 // bytes a second: a modem gives 25 times as much
	packers            = 4   // uploads at once: each takes a processor and a spool file
)

// NewPool makes an empty pool.
func NewPool(s Settings) *Pool {
	if s.Connections == 0 {
		s.Connections = defaultConnections
	}
	if s.MinSpeed == 0 {
		s.MinSpeed = defaultSpeed
	}
	return &Pool{settings: s, places: map[string]*place{}}
}

// Open makes a cache of a URL, without asking it anything.
func (p *Pool) Open(text string) (*Cache, error) {
	config, err := ParseURL(text)
	if err != nil {
		return nil, err
	}
	for _, w := range config.Warnings {
		if p.settings.Warn != nil {
			p.settings.Warn(w)
		}
	}
	c := &Cache{Config: config, dir: p.settings.StoreDir, pool: p, keys: p.settings.Signers, describing: make(chan struct{}, 1)}
	if config.StoreDir != "" {
		c.dir = config.StoreDir
	}
	c.name = string(c.dir) + " " + c.String()
	if config.SecretKey != "" {
		if p.settings.ReadKey == nil {
			return nil, fmt.Errorf("read key '%s': uploads cannot be signed here", config.SecretKey)
		}
		key, err := p.settings.ReadKey(config.SecretKey)
		if err != nil {
			return nil, err
		}
		c.keys = append(c.keys[:len(c.keys):len(c.keys)], key)
	}
	c.place, err = p.place(config)
	return c, err
}

func (p *Pool) place(config Config) (*place, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := config.URL.String()
	if config.S3 != nil {
		name += fmt.Sprint(*config.S3)
	}
	if known := p.places[name]; known != nil {
		return known, nil
	}
	connections := p.settings.Connections
	at := &place{
		remote:  config.URL.Scheme != "file",
		nars:    make(chan struct{}, max(1, connections*3/4)),
		uploads: make(chan struct{}, packers),
	}
	base := config.base()
	if base.Scheme == "https" && !p.settings.HTTP1 {
		connections = max(connections, streams)
	}
	at.requests = make(chan struct{}, connections)
	if at.remote {
		settings := p.settings.Settings
		settings.Sign = p.settings.sign(config)
		client, err := transfer.New(base, settings)
		if err != nil {
			return nil, err
		}
		at.files = &server{client: client, base: transfer.WithoutUser(base), settings: &p.settings}
	} else {
		at.files = directory(config.URL.Path)
	}
	at.remembered = at.remote || p.settings.FilesToo
	p.places[name] = at
	return at, nil
}

// Close gives up idle connections. Caches may be used afterwards.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range p.places {
		if s, ok := at.files.(*server); ok {
			s.client.CloseIdleConnections()
		}
	}
}

func (p *place) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.breaker.Status()
}

// ask is the breaker's permission for one request, or the reason why there is none.
func (p *place) ask() (Ticket, Status, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.breaker.Ask(time.Now())
	return t, p.breaker.Status(), ok
}

// tell ends what ask began.
func (p *place) tell(t Ticket, h health) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch h {
	case well:
		p.breaker.Succeeded()
	case ill:
		p.breaker.Failed(t, time.Now())
	case mute:
		p.breaker.Abandoned(t)
	}
}
