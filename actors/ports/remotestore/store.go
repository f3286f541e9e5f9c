// Package remotestore is a client of stores that other processes hold: daemons of
// this machine and of others, Nix's and ours, and the older nix-store --serve. It
// asks and is answered, and moves archives both ways as they come. What is done
// with the answers is for the caller to know.
package remotestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// Settings of connections, beside those of a store's URL.
type Settings struct {
	Dir            storepath.Dir
	Socket         string                  // of the store "daemon"; "" is Nix's
	ConnectTimeout time.Duration           // until a store has answered; 0 waits for ever
	Options        *workerproto.SetOptions // said at the beginning of each connection; nil says nothing
	Interactive    bool                    // ssh may ask who sits at the terminal
	// Say takes a line that ssh, or the program there, writes for people; nil drops it.
	Say func(line string)

	newest workerproto.Version // that is spoken; 0 is [workerproto.Newest]
}

// Store has connections to one store: those in use, of which there are at most as
// many as its URL says, and those that wait for the next use.
type Store struct {
	Config   Config
	settings Settings
	slots    chan struct{} // holds a token for each connection in use

	mu     sync.Mutex // guards what follows
	free   []*Conn    // the last one was used last
	closed bool
}

// oldest is the version from which on all that is asked here can be asked:
// QueryMissing came with it.
var oldest = workerproto.MakeVersion(1, 19)

// Open makes a store of a URL of the schemes daemon, unix and ssh-ng, without
// connecting to it.
func Open(text string, s Settings) (*Store, error) {
	store, err := open(text, s)
	if err == nil && store.Config.Scheme == "ssh" {
		return nil, fmt.Errorf("open store '%s': it speaks another protocol", store)
	}
	return store, err
}

func open(text string, s Settings) (*Store, error) {
	config, err := ParseURL(text)
	if err != nil {
		return nil, err
	}
	if config.StoreDir != "" {
		s.Dir = config.StoreDir
	}
	return &Store{Config: config, settings: s, slots: make(chan struct{}, config.MaxConnections)}, nil
}

// String is the store's name.
func (s *Store) String() string { return s.Config.String() }

// Dir is the store's directory.
func (s *Store) Dir() storepath.Dir { return s.settings.Dir }

// Acquire is a connection that nobody else uses, until [Store.Release]. It waits for
// one where there are as many as may be.
func (s *Store) Acquire(ctx context.Context) (*Conn, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c := s.idle(); c != nil {
		return c, nil
	}
	c, err := s.dial(ctx)
	if err != nil {
		<-s.slots
		return nil, err
	}
	return c, nil
}

// idle is a connection that can be used again. What is not, is closed.
func (s *Store) idle() *Conn {
	for {
		s.mu.Lock()
		last := len(s.free) - 1
		if last < 0 {
			s.mu.Unlock()
			return nil
		}
		c := s.free[last]
		s.free = s.free[:last]
		s.mu.Unlock()
		if s.fresh(c) && c.r.Buffered() == 0 && c.wire.idle() {
			c.reused = true
			return c
		}
		c.Close() // it is over
	}
}

func (s *Store) fresh(c *Conn) bool {
	return s.Config.MaxConnectionAge == 0 || time.Since(c.since) < s.Config.MaxConnectionAge
}

// Release gives a connection back. With it go its temporary roots, once it is
// closed: who needs them keeps the connection.
func (s *Store) Release(c *Conn) {
	defer func() { <-s.slots }()
	c.Hear = nil
	s.mu.Lock()
	keep := !s.closed && !c.broken.Load() && s.fresh(c)
	if keep {
		s.free = append(s.free, c)
	}
	s.mu.Unlock()
	if !keep {
		c.Close()
	}
}

// Do lets f use a connection. Where it was used before and ended meanwhile, which
// shows only when it is used again, f is called once more, with a new one.
func (s *Store) Do(ctx context.Context, f func(*Conn) error) error {
	for again := false; ; again = true {
		c, err := s.Acquire(ctx)
		if err != nil {
			return err
		}
		before := c.heard
		err = f(c)
		stale := c.reused && c.heard == before && c.broken.Load() && ctx.Err() == nil
		s.Release(c)
		if err == nil || !stale || again {
			return err
		}
	}
}

// Close ends the connections that nobody uses, and the others once they are given
// back.
func (s *Store) Close() error {
	s.mu.Lock()
	free := s.free
	s.free, s.closed = nil, true
	s.mu.Unlock()
	failed := make(chan error)
	for _, c := range free { // at once: one may wait for another at the other end
		go func() { failed <- c.Close() }()
	}
	var err error
	for range free {
		err = errors.Join(err, <-failed)
	}
	return err
}

// dial makes a connection. The error is an [*UnreachableError], a [*RefusedError], a
// [*LostError], or that of ctx.
func (s *Store) dial(ctx context.Context) (*Conn, error) {
	if s.settings.ConnectTimeout > 0 {
		late := &UnreachableError{s.shown(), fmt.Errorf("it does not answer within %v", s.settings.ConnectTimeout)}
		limited, cancel := context.WithTimeoutCause(ctx, s.settings.ConnectTimeout, late)
		defer cancel()
		ctx = limited
	}
	c, err := s.reach(ctx)
	if err != nil {
		return nil, err
	}
	if s.settings.Options != nil && s.Config.Scheme != "ssh" {
		if _, err := Tell[*workerproto.Nothing](ctx, c, s.settings.Options); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

func (s *Store) reach(ctx context.Context) (*Conn, error) {
	if !s.Config.overSSH() {
		socket := s.Config.Socket
		if s.Config.Scheme == "daemon" {
			socket = cmp.Or(s.settings.Socket, defaultSocket())
		}
		c, err := DialSocket(ctx, socket, s.settings.Dir, oldest)
		if errors.Is(err, ErrNobody) {
			err = &UnreachableError{fmt.Sprintf("the daemon at '%s'", socket), err}
		}
		return c, err
	}
	command, greet := s.Config.daemonCommand(), func(c *Conn) error {
		return c.greet(s.settings.Dir, oldest, cmp.Or(s.settings.newest, workerproto.Newest))
	}
	if s.Config.Scheme == "ssh" {
		command, greet = s.Config.serveCommand(), func(c *Conn) error { return c.greetServe(s.settings.Dir) }
	}
	p, err := s.Config.launch(ctx, s.settings, command)
	if err != nil {
		return nil, err
	}
	c := newConn(s.shown(), p)
	if err := c.interruptible(ctx, func() error { return greet(c) }); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (s *Store) shown() string { return s.Config.shown() }

func (c *Config) shown() string { return fmt.Sprintf("'%s'", c) }

// launch runs a program at the other end. It is connected when it returns.
func (c *Config) launch(ctx context.Context, s Settings, program []string) (p *process, err error) {
	files, err := os.MkdirTemp("", "troupe-ssh-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(files)) }() // ssh has read them once it is connected
	args, err := c.sshArguments(files, s, program...)
	if err != nil {
		return nil, err
	}
	if p, err = spawn(args, s); err != nil {
		return nil, &UnreachableError{c.shown(), err}
	}
	if c.local() {
		return p, nil
	}
	stop := context.AfterFunc(ctx, p.abandon)
	defer stop()
	if err := p.awaitStart(); err != nil {
		err = &UnreachableError{c.shown(), p.epitaph(err)}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}
