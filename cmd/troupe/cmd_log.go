package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"troupe/storage/buildlog"
	"troupe/storage/storepath"
)

type logCmd struct {
	Path string `arg:"" help:"A derivation, with or without ^output, or an output."`
}

func (c *logCmd) Run(s *session) error {
	name, _, _ := strings.Cut(c.Path, "^")
	p, err := s.location.Dir.Parse(name)
	if err != nil {
		return err
	}
	drvs := []storepath.Path{p}
	if !p.IsDerivation() {
		if drvs, err = derivers(s, p); err != nil {
			return err
		}
	}
	for _, drv := range drvs {
		log, err := buildlog.Read(s.location.LogDir, drv)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = io.Copy(s.stdout, log)
		return errors.Join(err, log.Close())
	}
	return fmt.Errorf("build log of '%s' is not available", s.location.Dir.Join(p))
}

// derivers are the derivations that may have made a path, the one that did
// first.
func derivers(s *session, p storepath.Path) (drvs []storepath.Path, err error) {
	err = s.withKnowledge(func(known knowledge) error {
		all, err := known.Derivers(p)
		if err != nil {
			return err
		}
		info, ok, err := known.Get(p)
		if ok && !info.Deriver.IsZero() {
			drvs = append(drvs, info.Deriver)
		}
		drvs = append(drvs, all...)
		return err
	})
	return drvs, err
}
