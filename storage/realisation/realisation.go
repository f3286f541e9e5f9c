// Package realisation is the text that says where an output lies whose derivation does not tell: the JSON that Nix sends
// to its daemon, keeps in binary caches and signs.
package realisation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// ID names an output by the hash of its derivation modulo its fixed inputs.
type ID struct {
	Hash   nixhash.Hash
	Output string
}

// String is "sha256:<base 16>!<output>".
func (i ID) String() string {
	return i.Hash.Algorithm().String() + ":" + i.Hash.Base16() + "!" + i.Output
}

// ParseID reads what [ID.String] writes.
func ParseID(s string) (id ID, err error) {
	hash, output, ok := strings.Cut(s, "!")
	if !ok {
		return id, fmt.Errorf("'%.200s' names no output of a derivation", s)
	}
	if err := storepath.CheckName(output); err != nil {
		return id, fmt.Errorf("output of '%.200s': %w", s, err)
	}
	if id.Hash, err = nixhash.Parse(hash, nixhash.SHA256); err != nil {
		return ID{}, err
	}
	id.Output = output
	return id, nil
}

// Realisation says where an output lies.
type Realisation struct {
	ID         ID
	Path       storepath.Path
	Signatures []string // "<key name>:<base64>", sorted
	// Dependent are realisations that this one was made with, by their names: none
	// from Nix 2.34 on.
	Dependent map[string]storepath.Path
}

// text has its fields in the order in which Nix writes them, which is that of their names.
type text struct {
	Dependent  map[string]storepath.Path `json:"dependentRealisations"`
	ID         string                    `json:"id"`
	OutPath    storepath.Path            `json:"outPath"`
	Signatures []string                  `json:"signatures,omitzero"`
}

// JSON is all that it says, as Nix 2.34 writes it.
func (r Realisation) JSON() (string, error) {
	signatures := r.Signatures
	if signatures == nil {
		signatures = []string{}
	}
	return r.write(signatures)
}

// Fingerprint is the text that is signed: all but the signatures.
func (r Realisation) Fingerprint() (string, error) { return r.write(nil) }

func (r Realisation) write(signatures []string) (string, error) {
	t := text{r.Dependent, r.ID.String(), r.Path, signatures}
	if t.Dependent == nil {
		t.Dependent = map[string]storepath.Path{}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(t)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// Parse reads what [Realisation.JSON] writes; an object with more members, or
// without dependentRealisations, too.
func Parse(s []byte) (r Realisation, err error) {
	var t text
	if err := json.Unmarshal(s, &t); err != nil {
		return r, fmt.Errorf("parse realisation: %w", err)
	}
	if r.ID, err = ParseID(t.ID); err != nil {
		return r, fmt.Errorf("parse realisation: %w", err)
	}
	if t.OutPath.IsZero() {
		return r, fmt.Errorf("parse realisation '%v': it has no outPath", r.ID)
	}
	for id, p := range t.Dependent {
		if _, err := ParseID(id); err != nil {
			return r, fmt.Errorf("parse realisation '%v': dependentRealisations: %w", r.ID, err)
		}
		if p.IsZero() {
			return r, fmt.Errorf("parse realisation '%v': dependentRealisations: '%s' has no path", r.ID, id)
		}
	}
	r.Path = t.OutPath
	if len(t.Dependent) > 0 {
		r.Dependent = t.Dependent
	}
	if len(t.Signatures) > 0 {
		slices.Sort(t.Signatures)
		r.Signatures = slices.Compact(t.Signatures)
	}
	return r, nil
}
