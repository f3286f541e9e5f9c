package ports

import (
	"slices"

	"troupe/messages"
	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

// Missing is what making targets valid would take.
type Missing struct {
	Build   []storepath.Path // derivations, each after those that it needs
	Unknown []storepath.Path // paths that nobody can make
}

// Missing looks for what is not valid, in the eyes of whoever asks. It goes
// down only as far as something is to be built.
func (s Services) Missing(targets []messages.Target, valid func(storepath.Path) (bool, error)) (Missing, error) {
	l := &missing{s: s, valid: valid, seen: map[storepath.Path][]string{}, building: map[storepath.Path]bool{}}
	for _, t := range targets {
		if err := l.visit(t); err != nil {
			return Missing{}, err
		}
	}
	return l.found, nil
}

type missing struct {
	s        Services
	valid    func(storepath.Path) (bool, error)
	seen     map[storepath.Path][]string // a path and the outputs that were looked at
	building map[storepath.Path]bool
	found    Missing
}

func (l *missing) visit(t messages.Target) error {
	looked, known := l.seen[t.Path]
	if known && (!t.IsBuild() || len(messages.MergeOutputs(looked, t.Outputs)) == len(looked)) || l.building[t.Path] {
		return nil
	}
	l.seen[t.Path] = messages.MergeOutputs(looked, t.Outputs)
	valid, err := l.valid(t.Path)
	if err != nil {
		return err
	}
	if !valid && !known {
		l.found.Unknown = append(l.found.Unknown, t.Path)
	}
	if !valid || !t.IsBuild() {
		return nil
	}
	return l.derivation(t)
}

func (l *missing) derivation(t messages.Target) error {
	drv, err := l.s.ReadDerivation(t.Path)
	if err != nil {
		return err
	}
	there, err := l.outputsValid(drv, t.Outputs)
	if err != nil || there {
		return err
	}
	l.building[t.Path] = true
	for _, in := range drv.Inputs {
		if err := l.visit(messages.Target{Path: in.Path, Outputs: in.Outputs}); err != nil {
			return err
		}
	}
	for _, src := range drv.Sources {
		if err := l.visit(messages.Target{Path: src}); err != nil {
			return err
		}
	}
	l.found.Build = append(l.found.Build, t.Path)
	return nil
}

// outputsValid looks at the wanted outputs.
func (l *missing) outputsValid(drv *derivation.Derivation, wanted []string) (bool, error) {
	known, err := l.s.KnownOutputs(drv)
	if err != nil {
		return false, err
	}
	for _, o := range known {
		if !slices.Contains(wanted, o.Name) && !slices.Contains(wanted, messages.AllOutputs) {
			continue
		}
		if o.Path.IsZero() {
			return false, nil
		}
		if valid, err := l.valid(o.Path); err != nil || !valid {
			return false, err
		}
	}
	return true, nil
}
