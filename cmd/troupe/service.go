package main

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/rs/zerolog"

	"troupe/actors"
	"troupe/actors/ports/sessions"
	"troupe/cmd/troupe/config"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/sandbox/linux"
	"troupe/storage/localstore"
)

// service is a tree of actors that serves clients: a daemon's, or that of a
// command which has the store for a while.
type service struct {
	s       *session
	log     zerolog.Logger
	access  func(config.Settings) sessions.Access
	socket  string // that hooks are told of
	journal string // a file to record every step in, or none
	// fatal tells of an actor without which the process cannot go on.
	fatal func(actor messages.Address, reason string)
	// adjust changes what the tree is made of; nil changes nothing.
	adjust func(*actors.Settings)

	tree     *actors.Tree
	roots    *localstore.TempRoots
	policies *policies
	clients  crowd
	users    sessions.Users
}

// run runs the tree for as long as f does.
func (d *service) run(st *openedStore, f func(*service) error) (err error) {
	defer paceCollector()()
	launcher, err := linux.NewLauncher()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, launcher.Close()) }()
	roots, err := localstore.OpenTempRoots(d.s.location)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, roots.Close()) }()
	d.roots = roots
	settings, err := d.settings(st, launcher)
	if err != nil {
		return err
	}
	settings.Services.Roots = roots
	finish, err := record(d.journal, d.s, &settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finish()) }()
	d.tree = actors.Start(settings)
	defer d.tree.Close()
	return f(d)
}

// settings are what the tree is made of.
func (d *service) settings(st *openedStore, launcher *linux.Launcher) (actors.Settings, error) {
	settings, policies, err := treeSettings(d.s, st, launcher, "unix://"+d.socket)
	if err != nil {
		return settings, err
	}
	d.policies = policies
	of, err := d.sessions(d.s.settings)
	if err != nil {
		return settings, err
	}
	settings.Services.Log, settings.Logger, settings.Sessions = d.log, d.log, &of
	settings.Fatal = func(actor messages.Address, reason string) {
		d.fatal(actor, reason)
		os.Exit(exitFailure)
	}
	useCgroups(launcher, d.s.settings.UseCgroups, d.log)
	if d.adjust != nil {
		d.adjust(&settings)
	}
	return settings, nil
}

// sessions are the settings for clients.
func (d *service) sessions(c config.Settings) (sessions.Settings, error) {
	trust, err := trustOf(c)
	return sessions.Settings{Access: d.access(c), Trust: trust,
		KeepDerivations: c.KeepDerivations, KeepOutputs: c.KeepOutputs,
		Terms: func(set *workerproto.SetOptions, trusted bool) (messages.Terms, []string) {
			return clientTerms(c, set, trusted)
		}}, err
}

// accept takes clients until the listener is closed.
func (d *service) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil { // as many files are open as may be, for instance
			d.log.Warn().Err(err).Msg("accept client")
			time.Sleep(acceptPause)
			continue
		}
		d.welcome(conn)
	}
}

// acceptPause is waited when no client can be taken, so that those that go may
// give back what is short.
const acceptPause = 50 * time.Millisecond

// welcome serves a client that has connected.
func (d *service) welcome(conn net.Conn) {
	peer, err := d.users.PeerOf(conn.(*net.UnixConn))
	if err != nil {
		d.log.Warn().Err(err).Msg("accept client")
		conn.Close()
		return
	}
	d.log.Debug().Str("user", peer.User).Int("pid", peer.PID).Msg("client comes")
	leave := d.clients.enter()
	go func() {
		defer leave()
		d.tree.Sessions.Serve(conn, peer)
	}()
}
