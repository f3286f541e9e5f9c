package main

import (
	"bufio"
	"errors"
	"fmt"

	"troupe/storage/addition"
	"troupe/storage/export"
)

type exportCmd struct {
	Paths []string `arg:"" name:"path" help:"Valid store paths; what they refer to is not written unless named."`
}

func (c *exportCmd) Run(s *session) (err error) {
	st, err := openStore(s, readOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	paths, err := parsePaths(s, c.Paths)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(s.stdout, 1<<17)
	if err := export.Write(s.ctx, out, s.location, st.db, paths); err != nil {
		return notValid(s, err)
	}
	return out.Flush()
}

type importCmd struct{}

func (*importCmd) Run(s *session) (err error) {
	st, err := openStore(s, readWrite)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	// Who can write to the store needs no signature, as with nix-store --import.
	paths, err := st.adder().Import(s.ctx, bufio.NewReaderSize(s.stdin, 1<<17), addition.Terms{Trusted: true})
	for _, p := range paths {
		fmt.Fprintln(s.stdout, s.location.Dir.Join(p))
	}
	return err
}
