package main

import (
	"errors"
	"fmt"
	"os"

	"troupe/storage/localstore"
	"troupe/storage/validity"
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
	checked, wrong := 0, 0
	for info, err := range st.db.All() {
		if err != nil {
			return err
		}
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		checked++
		if err := c.check(s, st, info); err != nil {
			wrong++
			fmt.Fprintf(s.stderr, "error: %v\n", err)
		}
	}
	fmt.Fprintf(s.stderr, "%d paths checked, %d wrong\n", checked, wrong)
	if wrong > 0 {
		return &codedError{code: exitFailure}
	}
	return nil
}

func (c *verifyCmd) check(s *session, st *openedStore, info validity.Info) error {
	path, real := s.location.Dir.Join(info.Path), s.location.RealPath(info.Path)
	if _, err := os.Lstat(real); err != nil {
		return fmt.Errorf("path '%s' disappeared, but it is valid", path)
	}
	for _, r := range info.References {
		valid, err := st.db.Valid(r)
		if err != nil {
			return err
		}
		if !valid {
			return fmt.Errorf("path '%s' refers to '%s', which is not valid", path, s.location.Dir.Join(r))
		}
	}
	if !c.Contents {
		return nil
	}
	got, err := localstore.Scan(real, nil)
	if err != nil {
		return err
	}
	if got.NarHash != info.NarHash {
		return fmt.Errorf("path '%s' was modified! expected hash '%v', got '%v'", path, info.NarHash, got.NarHash)
	}
	return nil
}
