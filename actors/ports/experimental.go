package ports

import (
	"fmt"
	"slices"
)

// Experimental are the names of Nix's experimental features that are on.
type Experimental []string

// Require is the error of what takes a feature that is off, in Nix's words.
func (e Experimental) Require(feature string) error {
	if slices.Contains(e, feature) {
		return nil
	}
	return fmt.Errorf("experimental Nix feature '%s' is disabled; add '--extra-experimental-features %s' to enable it", feature, feature)
}
