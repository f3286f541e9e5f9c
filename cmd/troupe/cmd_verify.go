package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"troupe/actors/ports"
	"troupe/actors/ports/remotestore"
	"troupe/cmd/troupe/remote"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/storepath"
	"troupe/storage/upkeep"
)

type verifyCmd struct {
	Contents bool `help:"Also hash the contents of every path."`
	Repair   bool `help:"Fetch or build again what is gone or changed, and forget paths of which nothing is left."`
}

func (c *verifyCmd) Run(s *session) error {
	how := readOnly
	if c.Repair {
		how = readWrite
	}
	return s.either(how,
		func(st *openedStore) error { return c.here(s, st) },
		func(client *remote.Client) error { return c.there(s, client) })
}

func (c *verifyCmd) here(s *session, st *openedStore) error {
	v := upkeep.Verification{Layout: s.location, DB: st.db, Contents: c.Contents, Say: func(level int, text string) {
		if level == upkeep.LevelError {
			fmt.Fprintf(s.stderr, "error: %s\n", text)
		}
	}}
	run := func() error {
		found, err := v.Run(s.ctx)
		if err != nil {
			return err
		}
		return tellVerified(s, found.Checked, found.Wrong, found.Wrong > found.Mended)
	}
	if !c.Repair {
		return run()
	}
	v.Forget = true
	log := zerolog.New(zerolog.ConsoleWriter{Out: s.stderr, NoColor: true, PartsExclude: []string{"time"}}).Level(zerolog.WarnLevel)
	d := &service{s: s, log: log, access: trustingMe, socket: daemonSocket(s.location, os.LookupEnv),
		fatal: func(actor messages.Address, reason string) {
			fmt.Fprintf(os.Stderr, "error: actor %s panicked: %s\n", actor, reason)
		}}
	return d.run(st, func(d *service) error {
		v.Repair = d.repairer(ports.Services{Layout: s.location, DB: st.db})
		return errors.Join(run(), awaitRest(d.tree))
	})
}

// repairer brings back paths whose contents are lost or changed.
func (d *service) repairer(store ports.Services) upkeep.Repairer {
	return func(ctx context.Context, p storepath.Path) error {
		return store.Repair(p, func(t messages.Target) error {
			r := d.tree.Clients.Realise(ctx, messages.RealiseTargets{Request: d.tree.Clients.Number(), Targets: []messages.Target{t},
				Terms: termsOf(d.s.settings)})[0]
			if !r.Status.OK() {
				return errors.New(r.Error)
			}
			return nil
		})
	}
}

// there lets the daemon look. It forgets paths of which nothing is left, as Nix's
// does.
func (c *verifyCmd) there(s *session, client *remote.Client) error {
	var checked, wrong uint64
	said := client.Hear
	client.Hear = func(m workerproto.Frame) {
		if r, is := m.(*workerproto.Result); is && r.Type == workerproto.ResProgress && len(r.Fields) == 4 {
			checked, wrong = r.Fields[0].Number, r.Fields[3].Number
		}
		said(m)
	}
	remain, err := remotestore.Tell[*workerproto.Bool](s.ctx, client.Conn, &workerproto.VerifyStore{CheckContents: c.Contents, Repair: c.Repair})
	if err != nil {
		return err
	}
	return tellVerified(s, checked, wrong, remain.Value)
}

func tellVerified(s *session, checked, wrong uint64, bad bool) error {
	fmt.Fprintf(s.stderr, "%d paths checked, %d wrong\n", checked, wrong)
	if bad {
		return &codedError{code: exitFailure}
	}
	return nil
}
