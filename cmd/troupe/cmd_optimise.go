package main

import (
	"errors"
	"fmt"

	"troupe/storage/upkeep"
)

type optimiseCmd struct{}

func (*optimiseCmd) Run(s *session) (err error) {
	st, err := openStore(s, readWrite)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	saved, err := upkeep.Optimise(s.ctx, s.location, st.db, s.warn, nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.stderr, saved)
	return err
}
