package drvfiles

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"troupe/messages"
	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

// Recipes reads derivations as far as a schedule depends on them: a file and its
// inputs, which lie beside it, or all that a directory or an archive has. They are
// in no order.
func Recipes(name string) ([]messages.Recipe, error) {
	g := &graphReader{seen: map[storepath.Path]bool{}}
	if strings.HasSuffix(name, ".drv") {
		g.withInputs(name)
	} else if err := Each(name, g.take); err != nil {
		return nil, err
	}
	if g.err != nil {
		return nil, g.err
	}
	if len(g.recipes) == 0 {
		return nil, fmt.Errorf("'%s' has no derivations", name)
	}
	return g.recipes, nil
}

type graphReader struct {
	seen    map[storepath.Path]bool
	recipes []messages.Recipe
	err     error // the first
}

func (g *graphReader) withInputs(file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		g.fail(err)
		return
	}
	first := len(g.recipes)
	g.take(file, data)
	for _, r := range g.recipes[first:] {
		for _, in := range r.Inputs {
			if !g.seen[in.Path] && g.err == nil {
				g.withInputs(filepath.Join(filepath.Dir(file), in.Path.Base()))
			}
		}
	}
}

func (g *graphReader) fail(err error) {
	if g.err == nil {
		g.err = err
	}
}

func (g *graphReader) take(name string, data []byte) {
	p, err := storepath.ParseBase(filepath.Base(name))
	if err != nil || g.seen[p] {
		g.fail(err)
		return
	}
	g.seen[p] = true
	dir, err := derivation.FindStoreDir(data)
	if err != nil {
		g.fail(fmt.Errorf("'%s': %w", name, err))
		return
	}
	d, err := derivation.Parse(dir, strings.TrimSuffix(p.Name(), ".drv"), data)
	if err != nil {
		g.fail(err)
		return
	}
	if !d.KnowsOutputs() || d.MustResolve() {
		return // what depends on it finds that it cannot be read, as in a store
	}
	g.recipes = append(g.recipes, recipeOf(p, d))
}

func recipeOf(p storepath.Path, d *derivation.Derivation) messages.Recipe {
	r := messages.Recipe{Drv: p, Sources: d.Sources, Fixed: d.IsFixed()}
	for _, o := range d.Outputs {
		r.Outputs = append(r.Outputs, messages.Output{Name: o.Name, Path: o.Path})
	}
	for _, in := range d.Inputs {
		r.Inputs = append(r.Inputs, messages.Target{Path: in.Path, Outputs: in.Outputs})
	}
	return r
}
