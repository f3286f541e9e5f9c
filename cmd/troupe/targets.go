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

// wish is what the command line names.
type wish struct {
	messages.Target
	// ways lead from an output of the target, which is a derivation, to what is
	// wanted: outputs, each but the last of a derivation that is one.
	ways [][]string
}

// targets reads what the command line names, adding to the store what is only
// a file so far.
func targets(s *session, adder receiver, args []string, mode messages.Mode) ([]wish, error) {
	list := make([]wish, len(args))
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
//	x.drv^out^dev                   of the derivation that its output is
//	x.json                          a derivation as JSON
//	/nix/store/…                    a path as it is
func target(s *session, adder receiver, arg string) (t wish, added bool, err error) {
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
		err = t.choose(s, outputs)
	case p.IsDerivation():
		t.Outputs = []string{messages.AllOutputs}
	}
	return t, added, err
}

// choose reads the outputs that are wanted: "out,dev", or "out^dev" of a derivation
// that is an output.
func (t *wish) choose(s *session, text string) error {
	steps := strings.Split(text, "^")
	for _, step := range steps {
		t.ways = append(t.ways, messages.MergeOutputs(strings.Split(step, ","), nil))
	}
	for _, step := range t.ways[:len(steps)-1] {
		if len(step) != 1 || step[0] == messages.AllOutputs {
			return fmt.Errorf("'%s' of '%s' is not one output, so it leads to no derivation", strings.Join(step, ","), t.Path.Base())
		}
		if err := derivation.Features(s.settings.ExperimentalFeatures).Require("dynamic-derivations", fmt.Sprintf("building output '%s' of '%s'", step[0], t.Path.Base())); err != nil {
			return err
		}
	}
	t.Outputs, t.ways = t.ways[0], t.ways[1:]
	return nil
}

// lead makes the derivations valid that are outputs, step by step, and returns what is
// wanted in the end.
func lead(s *session, wishes []wish, realise func([]messages.Target) ([]messages.Result, error)) ([]messages.Target, error) {
	wanted := make([]messages.Target, len(wishes))
	for i, w := range wishes {
		for _, next := range w.ways {
			results, err := realise([]messages.Target{{Path: w.Path, Outputs: w.Outputs}})
			if err != nil {
				return nil, err
			}
			at := s.location.Dir.Join(w.Path) + "^" + w.Outputs[0]
			if !results[0].Status.OK() {
				return nil, &codedError{code: buildCode(results), text: fmt.Sprintf("failed to obtain derivation of '%s'", at)}
			}
			w.Path = wantedOutputs(w.Target, results[0])[0].Path
			if w.Outputs = next; !w.Path.IsDerivation() {
				return nil, fmt.Errorf("output '%s' is no derivation", at)
			}
		}
		wanted[i] = w.Target
	}
	return wanted, nil
}

// plain are the targets that are built first.
func plain(wishes []wish) []messages.Target {
	first := make([]messages.Target, len(wishes))
	for i, w := range wishes {
		first[i] = w.Target
	}
	return first
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
