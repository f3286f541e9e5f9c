package main

import (
	"fmt"

	"troupe/actors/ports/remotestore"
	"troupe/cmd/troupe/remote"
	"troupe/messages/workerproto"
	"troupe/storage/upkeep"
)

type verifyCmd struct {
	Contents bool `help:"Also hash the contents of every path."`
}

func (c *verifyCmd) Run(s *session) error {
	return s.either(readOnly,
		func(st *openedStore) error { return c.here(s, st) },
		func(client *remote.Client) error { return c.there(s, client) })
}

func (c *verifyCmd) here(s *session, st *openedStore) error {
	v := upkeep.Verification{Layout: s.location, DB: st.db, Contents: c.Contents, Say: func(level int, text string) {
		if level == upkeep.LevelError {
			fmt.Fprintf(s.stderr, "error: %s\n", text)
		}
	}}
	found, err := v.Run(s.ctx)
	if err != nil {
		return err
	}
	return tellVerified(s, uint64(found.Checked), uint64(found.Wrong), found.Wrong > 0)
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
	remain, err := remotestore.Tell[*workerproto.Bool](s.ctx, client.Conn, &workerproto.VerifyStore{CheckContents: c.Contents})
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
