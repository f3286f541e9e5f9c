package ports

import (
	"sync"

	"troupe/storage/addition"
	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Hashes computes what stands for the outputs of derivations in realisations, and
// remembers the hashes of what they are built with.
type Hashes struct {
	mu    sync.Mutex // guards adder
	adder addition.Adder
}

// NewHashes makes one for a store.
func NewHashes(l localstore.Layout, db *validity.DB) *Hashes {
	return &Hashes{adder: addition.Adder{Layout: l, DB: db}}
}

// Of is the hash of a derivation whose inputs are valid.
func (h *Hashes) Of(d *derivation.Derivation) (nixhash.Hash, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m, err := d.OutputHash(h.adder.Layout.Dir, h.adder.Modulo)
	return m.Hash, err
}

// OutputHash stands for the outputs of a derivation that is valid or given.
func (s Services) OutputHash(drv storepath.Path) (nixhash.Hash, error) {
	d, err := s.ReadDerivation(drv)
	if err != nil {
		return nixhash.Hash{}, err
	}
	return s.Hashes.Of(d)
}
