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
	warn := func(text string) { fmt.Fprintf(s.stderr, "warning: %s\n", text) }
	saved, err := upkeep.Optimise(s.ctx, s.location, st.db, warn, nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.stderr, saved)
	return err
}
