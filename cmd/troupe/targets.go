package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

// receiver is a store that takes derivations, whoever holds it.
type receiver interface {
	addition.Into
	Modulo(storepath.Path) (derivation.ModuloHash, error)
	Commit(context.Context, ...storepath.Path) error
}

// targets reads what the command line names, adding to the store what is only
// a file so far.
func targets(s *session, adder receiver, args []string, mode messages.Mode) ([]messages.Target, error) {
	list := make([]messages.Target, len(args))
	var added []storepath.Path
	for i, arg := range args {
		t, isNew, err := target(s, adder, arg)
		if err != nil {
			return nil, err
		}
		if t.IsBuild() {
			t.Mode = mode
		}
		list[i] = t
		if isNew {
			added = append(added, t.Path)
		}
	}
	return list, adder.Commit(s.ctx, added...)
}

// target reads one:
//
//	x.drv, x.drv^out,dev, x.drv^*   in the store, or a file
//	x.json                          a derivation as JSON
//	/nix/store/…                    a path as it is
func target(s *session, adder receiver, arg string) (t messages.Target, added bool, err error) {
	name, outputs, chosen := strings.Cut(arg, "^")
	p, err := s.location.Dir.Parse(name)
	if err == nil {
		valid, verr := adder.Valid(p)
		if verr != nil {
			return t, false, verr
		}
		if p.IsDerivation() && !valid && exists(name) && s.location.RealPath(p) != name {
			p, err = addition.ImportDerivation(s.ctx, adder, s.location.Dir, name)
			added = true
		}
	} else {
		added = true
		p, err = addFile(s, adder, name)
	}
	if err != nil {
		return t, false, err
	}
	t.Path = p
	switch {
	case chosen && !p.IsDerivation():
		return t, false, fmt.Errorf("'%s' is not a derivation, so it has no outputs to choose from", name)
	case chosen:
		t.Outputs = messages.MergeOutputs(strings.Split(outputs, ","), nil)
	case p.IsDerivation():
		t.Outputs = []string{messages.AllOutputs}
	}
	return t, added, nil
}

func addFile(s *session, adder receiver, file string) (storepath.Path, error) {
	switch {
	case strings.HasSuffix(file, ".drv"):
		return addition.ImportDerivation(s.ctx, adder, s.location.Dir, file)
	case strings.HasSuffix(file, ".json"):
		data, err := os.ReadFile(file)
		if err != nil {
			return storepath.Path{}, err
		}
		d, err := derivation.ParseJSON(s.location.Dir, data, adder.Modulo)
		if err == nil {
			var p storepath.Path
			if p, err = adder.Derivation(s.ctx, d); err == nil {
				return p, nil
			}
		}
		return storepath.Path{}, fmt.Errorf("'%s': %w", file, err)
	}
	return storepath.Path{}, hinted(fmt.Errorf("'%s' is neither in the store '%s' nor a derivation", file, s.location.Dir),
		"a target is a .drv or .json file, a .drv with ^output, or a path of the store",
		"troupe store add "+filepath.Base(file)+" puts a file or directory into the store")
}
