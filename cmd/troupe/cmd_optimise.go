package main

import (
	"fmt"

	"troupe/actors/ports/remotestore"
	"troupe/cmd/troupe/remote"
	"troupe/messages/workerproto"
	"troupe/storage/upkeep"
)

type optimiseCmd struct{}

func (*optimiseCmd) Run(s *session) error {
	return s.either(readWrite,
		func(st *openedStore) error {
			saved, err := upkeep.Optimise(s.ctx, s.location, st.db, s.warn, nil)
			if err == nil {
				_, err = fmt.Fprintln(s.stderr, saved)
			}
			return err
		},
		func(client *remote.Client) error { // who says himself what came of it
			_, err := remotestore.Tell[*workerproto.One](s.ctx, client.Conn, &workerproto.OptimiseStore{})
			return err
		})
}
