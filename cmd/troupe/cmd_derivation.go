package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"troupe/cmd/troupe/drvfiles"
	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

type derivationCmd struct {
	Show  showCmd  `cmd:"" help:"Print derivations as JSON, as nix derivation show does."`
	Check checkCmd `cmd:"" help:"Check that .drv files parse, print back and have the right output paths."`
}

type showCmd struct {
	Recursive bool     `short:"r" help:"Also the derivations that these need."`
	Targets   []string `arg:"" name:"target" help:"Derivations: .drv files, in the store or not, or outputs of the store."`
}

func (c *showCmd) Run(s *session) error {
	all := map[storepath.Path]*derivation.Derivation{}
	for _, t := range c.Targets {
		if err := c.load(s, t, all); err != nil {
			return err
		}
	}
	out := bufio.NewWriter(s.stdout)
	err := derivation.WriteJSON(out, func(yield func(storepath.Path, *derivation.Derivation) bool) {
		paths := make([]storepath.Path, 0, len(all))
		for p := range all {
			paths = append(paths, p)
		}
		slices.SortFunc(paths, storepath.Path.Compare)
		for _, p := range paths {
			if !yield(p, all[p]) {
				return
			}
		}
	})
	return errors.Join(err, out.Flush())
}

func (c *showCmd) load(s *session, target string, all map[storepath.Path]*derivation.Derivation) error {
	name, _, _ := strings.Cut(target, "^")
	file := name
	if p, err := s.location.Dir.Parse(name); err == nil {
		if !p.IsDerivation() {
			drvs, err := derivers(s, p)
			if err != nil || len(drvs) == 0 {
				return errors.Join(err, fmt.Errorf("'%s' does not have a known deriver", name))
			}
			p = drvs[0]
		}
		file = s.location.RealPath(p)
	}
	return c.loadFile(s, file, all)
}

// loadFile reads a derivation, and what it needs from the same directory.
func (c *showCmd) loadFile(s *session, file string, all map[storepath.Path]*derivation.Derivation) error {
	p, err := storepath.ParseBase(filepath.Base(file))
	if err != nil {
		return err
	}
	if all[p] != nil {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	d, err := derivation.Parse(s.location.Dir, strings.TrimSuffix(p.Name(), ".drv"), data)
	if err != nil {
		return err
	}
	all[p] = d
	if !c.Recursive {
		return nil
	}
	for _, in := range d.Inputs {
		if err := c.loadFile(s, filepath.Join(filepath.Dir(file), in.Path.Base()), all); err != nil {
			return err
		}
	}
	return nil
}

type checkCmd struct {
	StoreDir string   `help:"Store directory of the paths in the files; each file's own otherwise." placeholder:"DIR"`
	Files    []string `arg:"" name:"file" help:"Files, directories of them, and tar archives (also with .zst)."`
}

func (c *checkCmd) Run(s *session) error {
	var dir storepath.Dir
	if c.StoreDir != "" {
		var err error
		if dir, err = storepath.ParseDir(c.StoreDir); err != nil {
			return err
		}
	}
	wrong := 0
	checker := derivation.NewChecker(dir, func(name string, err error) {
		wrong++
		fmt.Fprintf(s.stdout, "%s: %v\n", name, err)
	})
	for _, f := range c.Files {
		if err := drvfiles.Each(f, checker.Add); err != nil {
			return err
		}
	}
	good := checker.Finish()
	fmt.Fprintf(s.stderr, "%d derivations are right, %d are not\n", good, wrong)
	if wrong > 0 {
		return &codedError{code: exitFailure}
	}
	return nil
}
