package main

import (
	"bufio"
	"errors"
	"fmt"

	"troupe/cmd/troupe/remote"
	"troupe/storage/addition"
	"troupe/storage/export"
)

type exportCmd struct {
	Paths []string `arg:"" name:"path" help:"Valid store paths; what they refer to is not written unless named."`
}

func (c *exportCmd) Run(s *session) error {
	paths, err := parsePaths(s, c.Paths)
	if err != nil {
		return err
	}
	return s.withKnowledge(func(known knowledge) error {
		out := bufio.NewWriterSize(s.stdout, 1<<17)
		if err := export.Write(s.ctx, out, s.location, known, paths); err != nil {
			return notValid(s, err)
		}
		return out.Flush()
	})
}

type importCmd struct{}

func (*importCmd) Run(s *session) error {
	return s.either(readWrite, func(st *openedStore) error { return importHere(s, st) },
		func(*remote.Client) error {
			return hinted(errors.New("import: the daemon that has the store takes no whole exports"), "nix-store --import hands them over path by path, as nix copy does")
		})
}

func importHere(s *session, st *openedStore) error {
	// Who can write to the store needs no signature, as with nix-store --import.
	paths, err := st.adder().Import(s.ctx, bufio.NewReaderSize(s.stdin, 1<<17), addition.Terms{Trusted: true})
	for _, p := range paths {
		fmt.Fprintln(s.stdout, s.location.Dir.Join(p))
	}
	return err
}
