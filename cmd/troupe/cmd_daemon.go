package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
	"slices"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"troupe/actors"
	"troupe/actors/ports/sessions"
	"troupe/cmd/troupe/config"
	"troupe/messages"
)

type daemonCmd struct {
	Stdio          bool   `help:"Serve one client on stdin and stdout, through the daemon that runs if there is one."`
	Socket         string `placeholder:"FILE" help:"Listen here; otherwise at NIX_DAEMON_SOCKET_PATH, or in the state directory." type:"path"`
	Journal        string `help:"Record every step." placeholder:"FILE" type:"path"`
	NoWait         bool   `help:"Fail rather than wait while another process holds the store."`
	ForceTrusted   bool   `xor:"trust" help:"Trust whoever connects."`
	ForceUntrusted bool   `xor:"trust" help:"Trust nobody who connects."`
	PrintUnits     bool   `help:"Print the units for systemd that troupe adopt installs."`
}

func (c *daemonCmd) Run(s *session) error {
	switch {
	case c.PrintUnits:
		return printUnits(s)
	case c.Stdio:
		return c.stdio(s)
	}
	return c.service(s, func(d *service) error {
		// Until here a command that holds the store may serve the same socket.
		listeners, err := c.listen(s)
		if err != nil {
			return err
		}
		return d.serve(s.ctx, listeners)
	})
}

func closeAll(listeners []net.Listener) (err error) {
	for _, l := range listeners {
		err = errors.Join(err, l.Close())
	}
	return err
}

// service takes hold of the store, and runs a tree for as long as f does.
func (c *daemonCmd) service(s *session, f func(*service) error) error {
	st, err := openStoreWait(s, readWrite, !c.NoWait)
	if err != nil {
		return err
	}
	return c.holding(s, st, f)
}

// holding runs a tree on a store that this process holds for as long as f does.
func (c *daemonCmd) holding(s *session, st *openedStore, f func(*service) error) (err error) {
	defer func() { err = errors.Join(err, st.close()) }()
	log := zerolog.New(s.stderr).With().Timestamp().Logger().Level(zerolog.InfoLevel)
	d := &service{s: s, log: log, access: c.access, socket: c.socketPath(s), journal: c.Journal, fatal: func(actor messages.Address, reason string) {
		log.Error().Str("actor", string(actor)).Str("reason", reason).Msg("the service cannot go on")
	}}
	d.adjust = func(a *actors.Settings) { a.Machines.Goal.LogCommand = "nix log" } // which is what clients have
	return d.run(st, f)
}

// access is who may do what by the settings and the command line.
func (c *daemonCmd) access(s config.Settings) sessions.Access {
	a := sessions.Access{Allowed: s.AllowedUsers, Trusted: s.TrustedUsers, BuildGroup: s.BuildUsersGroup}
	switch {
	case c.ForceTrusted:
		a.Trusted = []string{"*"}
	case c.ForceUntrusted:
		a.Trusted = nil
	case c.Stdio: // whoever may run this may do what he likes with the store, as with Nix
		own := sessions.Lookup(os.Getuid(), os.Getgid(), os.Getpid())
		a.Trusted = append(slices.Clone(a.Trusted), own.User)
	}
	return a
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
	err := closeAll(listeners)
	d.log.Info().Dur("patience", d.s.settings.DrainTimeout).Msg("the service ends")
	d.tree.Sessions.Drain(d.s.settings.DrainTimeout)
	return errors.Join(err, awaitRest(d.tree))
}

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
