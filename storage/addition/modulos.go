package addition

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
)

// Modulo is the hash modulo of a valid derivation.
func (a *Adder) Modulo(p storepath.Path) (derivation.ModuloHash, error) {
	if a.Modulos == nil {
		a.Modulos = &Modulos{Layout: a.Layout, Valid: a.DB.Valid}
	}
	return a.Modulos.Of(p)
}

// Modulos computes hashes modulo of the valid derivations of a store, and keeps
// them: a derivation is checked by those of its inputs, each of which is made
// of those of all below it. One that only lies in the store could have any
// contents. It serves many goroutines.
type Modulos struct {
	Layout localstore.Layout
	Valid  func(storepath.Path) (bool, error)

	mu    sync.Mutex // guards known
	known map[storepath.Path]derivation.ModuloHash
}

// maxModulos bounds how many are kept, of some 200 bytes each. Above it all are
// forgotten, and those that are needed again are read again.
const maxModulos = 1 << 16

// Of is the hash modulo of a derivation.
func (m *Modulos) Of(p storepath.Path) (derivation.ModuloHash, error) {
	if valid, err := m.Valid(p); err != nil || !valid {
		return derivation.ModuloHash{}, errors.Join(err, fmt.Errorf("read derivation '%s': it is not valid", m.Layout.Dir.Join(p)))
	}
	m.mu.Lock()
	h, ok := m.known[p]
	m.mu.Unlock()
	if ok {
		return h, nil
	}
	data, err := os.ReadFile(m.Layout.RealPath(p))
	if err != nil {
		return derivation.ModuloHash{}, fmt.Errorf("read derivation '%s': %w", m.Layout.Dir.Join(p), err)
	}
	d, err := derivation.Parse(m.Layout.Dir, strings.TrimSuffix(p.Name(), ".drv"), data)
	if err != nil {
		return derivation.ModuloHash{}, err
	}
	if h, err = d.Modulo(m.Layout.Dir, m.Of); err == nil {
		m.keep(p, h)
	}
	return h, err
}

func (m *Modulos) keep(p storepath.Path, h derivation.ModuloHash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= maxModulos {
		m.known = map[storepath.Path]derivation.ModuloHash{}
	}
	m.known[p] = h
}
