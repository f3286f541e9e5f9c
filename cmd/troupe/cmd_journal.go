package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"troupe/actors/journal"
)

type journalCmd struct {
	File string `arg:"" help:"A journal, as troupe build --journal writes it; - is stdin." type:"path"`
}

func (c *journalCmd) Run(s *session) error {
	in := s.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	out := bufio.NewWriter(s.stdout)
	if err := printJournal(out, in); err != nil {
		return errors.Join(out.Flush(), fmt.Errorf("%s: %w", c.File, err))
	}
	return out.Flush()
}

func printJournal(out io.Writer, in io.Reader) error {
	j, err := journal.NewReader(in)
	if err != nil {
		return err
	}
	for {
		r, err := j.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		line, err := r.Format()
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
}
