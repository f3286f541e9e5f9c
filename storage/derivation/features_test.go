package derivation

import (
	"strings"
	"testing"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// TestAllow holds what a derivation takes against what is on. The words are those of
// Nix 2.34.8.
func TestAllow(t *testing.T) {
	plain := Output{Name: "out", Kind: InputAddressed}
	floating := Output{Name: "out", Kind: Floating, Method: storepath.NAR, Algorithm: nixhash.SHA256}
	text := Output{Name: "out", Kind: Floating, Method: storepath.Text, Algorithm: nixhash.SHA256}
	impure := Output{Name: "out", Kind: Impure, Method: storepath.NAR, Algorithm: nixhash.SHA256}
	dynamic := []Input{{Wanted: Wanted{Dynamic: []Dynamic{{Output: "out"}}}}}
	for _, c := range []struct {
		name string
		d    Derivation
		on   Features
		want string
	}{
		{"plain", Derivation{Outputs: []Output{plain}}, nil, ""},
		{"fixed", Derivation{Outputs: []Output{{Kind: Fixed, Method: storepath.NAR}}}, nil, ""},
		{"floating", Derivation{Outputs: []Output{floating}}, nil, "ca-derivations' is disabled; add"},
		{"floating", Derivation{Outputs: []Output{floating}}, Features{"ca-derivations"}, ""},
		{"deferred", Derivation{Outputs: []Output{{Kind: Deferred}}}, nil, "ca-derivations' is disabled; add"},
		{"text", Derivation{Outputs: []Output{text}}, Features{"ca-derivations"}, "dynamic-derivations' is disabled (text-hashed derivation output); add"},
		{"text", Derivation{Outputs: []Output{text}}, Features{"ca-derivations", "dynamic-derivations"}, ""},
		{"impure", Derivation{Outputs: []Output{impure}}, Features{"ca-derivations"}, "impure-derivations' is disabled; add"},
		{"impure", Derivation{Outputs: []Output{impure}}, Features{"impure-derivations"}, "ca-derivations' is disabled; add"},
		{"impure", Derivation{Outputs: []Output{impure}}, Features{"ca-derivations", "impure-derivations"}, ""},
		{"dynamic", Derivation{Name: "dyn", Outputs: []Output{plain}, Inputs: dynamic}, nil,
			"dynamic-derivations' is disabled (derivation 'dyn', ATerm format version 'xp-dyn-drv'); add"},
	} {
		err := c.on.Allow(&c.d)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s with %v: %v", c.name, c.on, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "experimental Nix feature '"+c.want)):
			t.Errorf("%s with %v: %v, and not %s", c.name, c.on, err, c.want)
		}
	}
}
