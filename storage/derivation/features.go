package derivation

import (
	"fmt"
	"slices"

	"troupe/storage/storepath"
)

// Features are the names of Nix's experimental features that are on.
type Features []string

// FeatureError says that something takes an experimental feature that is off. The
// words are Nix's.
type FeatureError struct{ Feature, Why string }

func (e *FeatureError) Error() string {
	why := ""
	if e.Why != "" {
		why = " (" + e.Why + ")"
	}
	return fmt.Sprintf("experimental Nix feature '%s' is disabled%s; add '--extra-experimental-features %s' to enable it", e.Feature, why, e.Feature)
}

// Require is a [*FeatureError] where a feature is off; why may be empty.
func (f Features) Require(feature, why string) error {
	if slices.Contains(f, feature) {
		return nil
	}
	return &FeatureError{feature, why}
}

// Allow is the [*FeatureError] of a derivation that takes what is off: the first that
// Nix finds when it reads one.
func (f Features) Allow(d *Derivation) error {
	if slices.ContainsFunc(d.Inputs, func(in Input) bool { return len(in.Dynamic) > 0 }) {
		if err := f.Require("dynamic-derivations", fmt.Sprintf("derivation '%s', ATerm format version 'xp-dyn-drv'", d.Name)); err != nil {
			return err
		}
	}
	for _, o := range d.Outputs {
		if o.Method == storepath.Text && o.Kind != InputAddressed && o.Kind != Deferred {
			if err := f.Require("dynamic-derivations", "text-hashed derivation output"); err != nil {
				return err
			}
		}
	}
	if d.IsImpure() {
		if err := f.Require("impure-derivations", ""); err != nil {
			return err
		}
	}
	if !d.KnowsOutputs() {
		return f.Require("ca-derivations", "")
	}
	return nil
}
