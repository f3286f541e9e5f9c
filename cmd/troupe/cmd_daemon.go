package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/signal"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"troupe/actors"
	"troupe/actors/ports/sessions"
	"troupe/cmd/troupe/config"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/sandbox/linux"
	"troupe/storage/addition"
	"troupe/storage/localstore"
	"troupe/storage/signature"
)

type daemonCmd struct {
	Stdio          bool   `help:"Serve one client on stdin and stdout, through the daemon that runs if there is one."`
	Socket         string `placeholder:"FILE" help:"Listen here; otherwise at NIX_DAEMON_SOCKET_PATH, or in the state directory." type:"path"`
	Journal        string `help:"Record every step." placeholder:"FILE" type:"path"`
	NoWait         bool   `help:"Fail rather than wait while another process holds the store."`
	ForceTrusted   bool   `xor:"trust" help:"Trust whoever connects."`
	ForceUntrusted bool   `xor:"trust" help:"Trust nobody who connects."`
}

func (c *daemonCmd) Run(s *session) error {
	if c.Stdio {
		return c.stdio(s)
	}
	listeners, err := c.listen(s)
	if err != nil {
		return err
	}
	return c.service(s, func(d *service) error { return d.serve(s.ctx, listeners) })
}

// service is a tree of actors that serves clients.
type service struct {
	s        *session
	tree     *actors.Tree
	policies *policies
	log      zerolog.Logger
	access   func(config.Settings) sessions.Access
}

// service runs a tree for as long as f does.
func (c *daemonCmd) service(s *session, f func(*service) error) (err error) {
	log := zerolog.New(s.stderr).With().Timestamp().Logger().Level(zerolog.InfoLevel)
	st, err := openStoreWait(s, readWrite, !c.NoWait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	launcher, err := linux.NewLauncher()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, launcher.Close()) }()
	settings, policies, err := treeSettings(s, st, launcher, "unix://"+c.socketPath(s))
	if err != nil {
		return err
	}
	roots, err := localstore.OpenTempRoots(s.location)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, roots.Close()) }()
	d := &service{s: s, policies: policies, log: log, access: c.access}
	of, err := d.sessions(s.settings)
	if err != nil {
		return err
	}
	settings.Services.Roots, settings.Services.Log, settings.Logger, settings.Sessions = roots, log, log, &of
	useCgroups(launcher, s.settings.UseCgroups, log)
	settings.Fatal = func(actor messages.Address, reason string) {
		log.Error().Str("actor", string(actor)).Str("reason", reason).Msg("the service cannot go on")
		os.Exit(exitFailure)
	}
	finish, err := record(c.Journal, s, &settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, finish()) }()
	d.tree = actors.Start(settings)
	defer d.tree.Close()
	return f(d)
}

// access is who may do what by the settings and the command line.
func (c *daemonCmd) access(s config.Settings) sessions.Access {
	a := sessions.Access{Allowed: s.AllowedUsers, Trusted: s.TrustedUsers, BuildGroup: s.BuildUsersGroup}
	switch {
	case c.ForceTrusted:
		a.Trusted = []string{"*"}
	case c.ForceUntrusted:
		a.Trusted = nil
	}
	return a
}

// sessions are the settings for clients.
func (d *service) sessions(c config.Settings) (sessions.Settings, error) {
	keys, err := signature.ParsePublicKeys(c.TrustedPublicKeys)
	return sessions.Settings{Access: d.access(c), Trust: addition.Trust{Keys: keys, Everything: !c.RequireSigs},
		KeepDerivations: c.KeepDerivations, KeepOutputs: c.KeepOutputs,
		Terms: func(set *workerproto.SetOptions, trusted bool) (messages.Terms, []string) {
			return clientTerms(c, set, trusted)
		}}, err
}

// serve takes clients until it is told to end.
func (d *service) serve(ctx context.Context, listeners []net.Listener) error {
	for _, l := range listeners {
		go d.accept(l)
		d.log.Info().Str("socket", l.Addr().String()).Str("store", string(d.s.location.Dir)).Msg("clients may come")
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	defer signal.Stop(hup)
	beat := newHeart(d.log)
	defer beat.stop()
	beat.say("READY=1")
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-hup:
			beat.reloading()
			d.configure()
			beat.say("READY=1")
		}
	}
	beat.say("STOPPING=1")
	var err error
	for _, l := range listeners {
		err = errors.Join(err, l.Close())
	}
	d.log.Info().Dur("patience", d.s.settings.DrainTimeout).Msg("the service ends")
	d.tree.Sessions.Drain(d.s.settings.DrainTimeout)
	return errors.Join(err, awaitRest(d.tree))
}

// accept takes clients until the listener is closed.
func (d *service) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // as many files are open as may be, for instance
			d.log.Warn().Err(err).Msg("accept client")
			time.Sleep(acceptPause)
			continue
		}
		peer, err := sessions.PeerOf(conn.(*net.UnixConn))
		if err != nil {
			d.log.Warn().Err(err).Msg("accept client")
			conn.Close()
			continue
		}
		d.log.Debug().Str("user", peer.User).Int("pid", peer.PID).Msg("client comes")
		go d.tree.Sessions.Serve(conn, peer)
	}
}

// acceptPause is waited when no client can be taken, so that those that go may
// give back what is short.
const acceptPause = 50 * time.Millisecond

// configure reads the settings again. What is about the process as a whole stays
// as it is.
func (d *service) configure() {
	loaded, err := d.s.load()
	var clients sessions.Settings
	if err == nil {
		clients, err = d.sessions(loaded.Settings)
	}
	if err == nil {
		err = d.policies.set(loaded.Settings)
	}
	if err != nil {
		d.log.Error().Err(err).Msg("reload settings; the old ones stay")
		return
	}
	for _, w := range loaded.Warnings {
		d.log.Warn().Msg(w)
	}
	d.s.settings = loaded.Settings
	d.tree.Sessions.Configure(clients)
	d.log.Info().Msg("settings are read again")
}

// stdio serves stdin and stdout: as a go-between where a daemon runs, else by
// itself.
func (c *daemonCmd) stdio(s *session) error {
	pipe := &stdioConn{Reader: os.Stdin, Writer: os.Stdout}
	if conn, err := net.Dial("unix", c.socketPath(s)); err == nil {
		return relay(pipe, conn)
	}
	return c.service(s, func(d *service) error {
		served := make(chan struct{})
		go func() {
			d.tree.Sessions.Serve(pipe, sessions.Lookup(os.Getuid(), os.Getgid(), os.Getppid()))
			close(served)
		}()
		select {
		case <-served:
		case <-s.ctx.Done():
			d.tree.Sessions.Drain(0)
		}
		return awaitRest(d.tree)
	})
}

// relay passes bytes on in both directions until either side ends.
func relay(client io.ReadWriter, daemon net.Conn) error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(client, daemon)
		ended <- err
	}()
	go func() {
		io.Copy(daemon, client) // what the daemon says of it is passed on
		daemon.(*net.UnixConn).CloseWrite()
	}()
	err := <-ended
	return errors.Join(err, daemon.Close())
}

// stdioConn is stdin and stdout as one connection.
type stdioConn struct {
	io.Reader
	io.Writer
}

func (*stdioConn) Close() error                     { return errors.Join(os.Stdin.Close(), os.Stdout.Close()) }
func (*stdioConn) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "stdio", Net: "unix"} }
func (*stdioConn) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "stdio", Net: "unix"} }
func (*stdioConn) SetDeadline(time.Time) error      { return nil }
func (*stdioConn) SetReadDeadline(time.Time) error  { return nil }
func (*stdioConn) SetWriteDeadline(time.Time) error { return nil }
