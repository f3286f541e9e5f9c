package ports

import (
	"sync"

	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

// Given has derivations that clients bring along and that are not in the store.
type Given struct {
	mu   sync.Mutex // guards drvs
	drvs map[storepath.Path]given
}

type given struct {
	drv   *derivation.Derivation
	users int
}

// Put makes a derivation known under a path until release is called.
func (g *Given) Put(p storepath.Path, d *derivation.Derivation) (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.drvs == nil {
		g.drvs = map[storepath.Path]given{}
	}
	g.drvs[p] = given{d, g.drvs[p].users + 1}
	return func() { g.release(p) }
}

func (g *Given) release(p storepath.Path) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.drvs[p]
	if d.users--; d.users > 0 {
		g.drvs[p] = d
	} else {
		delete(g.drvs, p)
	}
}

// find is nil where there is none; g may be nil.
func (g *Given) find(p storepath.Path) *derivation.Derivation {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.drvs[p].drv
}
