package ports

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/derivation"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Realised are those of a derivation's outputs that are known to lie at a path,
// which is valid: what an impure one made before does not count.
func (s Services) Realised(d *derivation.Derivation) (known []messages.Output, err error) {
	if d.IsImpure() {
		return nil, nil
	}
	hash, err := s.Hashes.Of(d)
	if err != nil {
		return nil, err
	}
	for _, o := range d.Outputs {
		r, ok, err := s.DB.Realisation(validity.DrvOutput{Hash: hash, Output: o.Name})
		if err != nil {
			return nil, err
		}
		if ok {
			known = append(known, messages.Output{Name: o.Name, Path: r.Path})
		}
	}
	return known, nil
}

// KnownOutputs are a derivation's outputs, in its order: zero paths are of those
// that were not built yet and have none before.
func (s Services) KnownOutputs(d *derivation.Derivation) ([]messages.Output, error) {
	all := make([]messages.Output, len(d.Outputs))
	for i, o := range d.Outputs {
		all[i] = messages.Output{Name: o.Name, Path: o.Path}
	}
	if d.KnowsOutputs() {
		return all, nil
	}
	known, err := s.Realised(d)
	for _, k := range known {
		for i := range all {
			if all[i].Name == k.Name {
				all[i].Path = k.Path
			}
		}
	}
	return all, err
}

// realisedOutputs answers where the outputs of a derivation lie. They are leased
// before it is looked whether they are still there.
func (d *Database) realisedOutputs(owner messages.Address, drv storepath.Path) (valid []messages.Output, err error) {
	parsed, err := d.s.ReadDerivation(drv)
	if err != nil {
		return nil, err
	}
	known, err := d.s.Realised(parsed)
	if err != nil {
		return nil, err
	}
	for _, o := range known {
		if err := d.leases.add(owner, o.Path); err != nil {
			return nil, err
		}
		there, err := d.s.DB.Valid(o.Path)
		if err != nil {
			return nil, err
		}
		if there {
			valid = append(valid, o)
		}
	}
	return valid, nil
}

// resolve writes down what is built in the place of a derivation.
func (d *Database) resolve(m *messages.ResolveDerivation) messages.Message {
	at, err := d.resolved(m)
	if err != nil {
		return &messages.DerivationUnreadable{Status: messages.MiscFailure, Reason: err.Error()}
	}
	return &messages.DerivationResolved{Drv: at}
}

func (d *Database) resolved(m *messages.ResolveDerivation) (storepath.Path, error) {
	parsed, err := d.s.ReadDerivation(m.Drv)
	if err != nil {
		return storepath.Path{}, err
	}
	built := map[storepath.Path][]messages.BuiltInput{}
	for _, in := range m.Inputs {
		built[in.Drv] = append(built[in.Drv], in)
	}
	r, err := parsed.Resolve(d.s.Layout.Dir, func(drv storepath.Path, through []string, name string) (storepath.Path, bool) {
		for _, in := range built[drv] {
			for _, o := range in.Outputs {
				if slices.Equal(in.Through, through) && o.Name == name {
					return o.Path, true
				}
			}
		}
		return storepath.Path{}, false
	})
	if err != nil {
		return storepath.Path{}, err
	}
	adder := addition.Adder{Layout: d.s.Layout, DB: d.s.DB, Keep: func(paths ...storepath.Path) error { return d.leases.add(m.From, paths...) }}
	// Nobody adds to a path for long, and there is nobody to give up waiting.
	return adder.Derivation(context.Background(), r)
}

// record notes where outputs of a derivation lie.
func (d *Database) record(m *messages.RecordRealisations) messages.Message {
	outputs, err := d.recordAll(m)
	if err != nil {
		return &messages.RealisationsRecorded{Error: err.Error()}
	}
	return &messages.RealisationsRecorded{Outputs: outputs}
}

func (d *Database) recordAll(m *messages.RecordRealisations) (recorded []messages.Output, err error) {
	policy, err := d.s.PolicyOf(m.Settings)
	if err != nil {
		return nil, err
	}
	parsed, err := d.s.ReadDerivation(m.Drv)
	if err != nil {
		return nil, err
	}
	all, err := d.s.realisations(policy, m.Drv, parsed, m.Outputs)
	if err != nil {
		return nil, err
	}
	for i := range m.Signatures {
		all[i].Signatures = m.Signatures[i]
	}
	if err := d.s.DB.RegisterProvisional(validity.Registration{Realisations: all}); err != nil {
		return nil, err
	}
	for _, r := range all {
		at, known, err := d.s.DB.Realisation(r.ID)
		if err != nil || !known {
			return nil, errors.Join(err, fmt.Errorf("look up realisation '%v': it has gone", r.ID))
		}
		if err := d.leases.add(m.From, at.Path); err != nil {
			return nil, err
		}
		recorded = append(recorded, messages.Output{Name: r.ID.Output, Path: at.Path})
	}
	return recorded, nil
}

// realisations say, signed, where a derivation's outputs lie.
func (s Services) realisations(p BuildPolicy, drv storepath.Path, d *derivation.Derivation, outputs []messages.Output) ([]validity.Realisation, error) {
	hash, err := s.Hashes.Of(d)
	if err != nil {
		return nil, err
	}
	all := make([]validity.Realisation, len(outputs))
	for i, o := range outputs {
		all[i] = validity.Realisation{ID: validity.DrvOutput{Hash: hash, Output: o.Name}, Path: o.Path, Drv: drv}
		if all[i].Signatures, err = p.Keys.SignRealisation(all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// mayDepend refuses what is built with an impure derivation and claims to be made
// of its inputs alone. Fixed outputs are what they are, however they are made.
func (s Services) mayDepend(p storepath.Path, d *derivation.Derivation) error {
	if d.KnowsOutputs() || d.IsImpure() {
		return nil // a path that is known follows from inputs whose paths are
	}
	for _, in := range d.Inputs {
		valid, err := s.DB.Valid(in.Path)
		if err != nil {
			return err
		}
		if !valid {
			continue // it is its own goal's business
		}
		input, err := s.ReadDerivation(in.Path)
		if err != nil {
			return err
		}
		if input.IsImpure() {
			dir := s.Layout.Dir
			return fmt.Errorf("pure derivation '%s' depends on impure derivation '%s'", dir.Join(p), dir.Join(in.Path))
		}
	}
	return nil
}

// lockNames are what is locked where outputs have no paths: the derivation's own
// name and the output's, as Nix does.
func lockNames(p storepath.Path, d *derivation.Derivation) (names []storepath.Path, err error) {
	for _, o := range d.Outputs {
		name, failed := storepath.ParseBase(p.Base() + "." + o.Name)
		err = errors.Join(err, failed)
		names = append(names, name)
	}
	return names, err
}
