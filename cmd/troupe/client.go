package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"troupe/actors/ports"
	"troupe/actors/ports/remotestore"
	"troupe/cmd/troupe/config"
	"troupe/cmd/troupe/progress"
	"troupe/cmd/troupe/remote"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/validity"
)

// daemon connects to whoever serves the store: a daemon, or a command that holds
// it. Nil is that nobody does.
func (s *session) daemon() (*remote.Client, error) {
	client, err := remote.Dial(s.ctx, daemonSocket(s.location, os.LookupEnv), s.location.Dir)
	if errors.Is(err, remotestore.ErrNobody) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	client.Hear = func(m workerproto.Frame) {
		if text, is := m.(*workerproto.Next); is {
			fmt.Fprintln(s.stderr, remote.Plain(text.Text))
		}
	}
	if _, err := remotestore.Tell[*workerproto.Nothing](s.ctx, client.Conn, clientOptions(s)); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

// clientOptions are the settings that go to a daemon: those of the command line.
func clientOptions(s *session) *workerproto.SetOptions {
	c := s.settings
	o := &workerproto.SetOptions{KeepFailed: c.KeepFailed, KeepGoing: c.KeepGoing, TryFallback: c.Fallback,
		Verbosity: workerproto.LevelInfo, MaxBuildJobs: uint64(c.MaxJobs), MaxSilentTime: uint64(c.MaxSilentTime / time.Second),
		BuildVerbosity: workerproto.LevelError, BuildCores: uint64(c.Cores), UseSubstitutes: c.Substitute, Overrides: map[string]string{}}
	for _, set := range s.overrides {
		o.Overrides[set.Name] = set.Value
	}
	return o
}

// lookAgain is how often a command that waits looks whether it can go on.
const lookAgain = 100 * time.Millisecond

// join takes hold of the store or, where somebody serves it, connects to him. A
// process that holds the store and serves nobody yet, or nobody any more, is
// waited for in both ways.
func join(s *session, how access, wait bool) (*openedStore, *remote.Client, error) {
	for told := false; ; {
		client, refusal := s.daemon()
		if client != nil {
			return nil, client, nil
		}
		if refusal != nil && !remotestore.IsLost(refusal) {
			return nil, nil, refusal
		}
		st, err := openStoreNow(s, how)
		var held *validity.HeldError
		switch {
		case err == nil:
			return st, nil, nil
		case !errors.As(err, &held):
			return nil, nil, errors.Join(refusal, err)
		case !wait:
			return nil, nil, hinted(err, "without --no-wait the command waits until the store is free")
		case !told:
			fmt.Fprintf(s.stderr, "waiting: %v\n", err)
			told = true
		}
		select {
		case <-s.ctx.Done():
			return nil, nil, context.Canceled
		case <-time.After(lookAgain):
		}
	}
}

// notThere is what a daemon cannot do for a command.
func notThere(what string) error {
	return hinted(fmt.Errorf("%s: not through the daemon that has the store", what), "stop the daemon, and the command holds the store itself")
}

// there builds through whoever serves the store.
func (c *buildCmd) there(s *session, client *remote.Client) error {
	switch {
	case c.Journal != "":
		return hinted(notThere("--journal"), "the daemon records its steps: troupe journal prints them; troupe daemon --journal FILE records all")
	case c.CacheFailure:
		return notThere("--cache-failure")
	}
	wishes, err := targets(s, client.Adder(s.ctx, s.location), c.Targets, c.mode())
	if err != nil {
		return err
	}
	if c.DryRun {
		return dryRunThere(s, client, plain(wishes))
	}
	wanted, err := lead(s, wishes, func(t []messages.Target) ([]messages.Result, error) { return c.realiseThere(s, client, t) })
	if err != nil {
		return err
	}
	results, err := c.realiseThere(s, client, wanted)
	if err != nil {
		return err
	}
	return c.tell(s, wanted, results)
}

func (c *buildCmd) realiseThere(s *session, client *remote.Client, wanted []messages.Target) ([]messages.Result, error) {
	display := progress.New(s.stderr, terminalSize)
	defer display.Close()
	client.Hear = remote.NewWatch(s.location.Dir, display).Hear
	results, err := client.Build(s.ctx, wanted)
	if err != nil {
		return nil, err
	}
	if givenUp(results) {
		return nil, client.Lost(errors.New("it ended before the builds did"))
	}
	tellRest(display, func(string) bool { return false }, results)
	return results, nil
}

// givenUp reports whether something was not tried, and not because something else
// had failed: the daemon is at its end.
func givenUp(results []messages.Result) bool {
	cancelled := false
	for _, r := range results {
		if !r.Status.OK() && r.Status != messages.Cancelled {
			return false
		}
		cancelled = cancelled || r.Status == messages.Cancelled
	}
	return cancelled
}

// dryRunThere says what the daemon would build.
func dryRunThere(s *session, client *remote.Client, wanted []messages.Target) error {
	m, err := client.Missing(s.ctx, wanted)
	if err != nil {
		return err
	}
	return tellMissing(s, ports.Missing{Build: m.WillBuild, Unknown: m.Unknown, Substitute: m.WillSubstitute,
		Download: m.DownloadSize, NarSize: m.NarSize})
}

// set changes a setting for this command, wherever it is performed.
func (s *session) set(name, value string) error {
	if err := s.settings.Set(name, value); err != nil {
		return &codedError{code: exitUsage, text: err.Error()}
	}
	s.overrides = append(s.overrides, config.Override{Name: name, Value: value})
	return nil
}
