package main

import (
	"errors"
	"fmt"

	"troupe/storage/upkeep"
)

type verifyCmd struct {
	Contents bool `help:"Also hash the contents of every path."`
}

func (c *verifyCmd) Run(s *session) (err error) {
	st, err := openStore(s, readOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	v := upkeep.Verification{Layout: s.location, DB: st.db, Contents: c.Contents, Say: func(level int, text string) {
		if level == upkeep.LevelError {
			fmt.Fprintf(s.stderr, "error: %s\n", text)
		}
	}}
	found, err := v.Run(s.ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.stderr, "%d paths checked, %d wrong\n", found.Checked, found.Wrong)
	if found.Wrong > 0 {
		return &codedError{code: exitFailure}
	}
	return nil
}
