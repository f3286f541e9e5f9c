package addition_test

import (
	"context"
	"fmt"
	"testing"

	"troupe/storage/addition"
	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

// A client that instantiates adds one derivation after another, each with an
// operation of its own. What is checked of each is its own inputs, however deep
// they are.
func TestEachDerivationIsHashedOnce(t *testing.T) {
	s := newStore(t)
	asked := 0
	shared := &addition.Modulos{Layout: s.Layout, Valid: func(p storepath.Path) (bool, error) {
		asked++
		return s.db.Valid(p)
	}}
	const depth = 20
	var inputs []derivation.Input
	for n := range depth {
		d := &derivation.Derivation{Name: fmt.Sprint("d", n), Outputs: []derivation.Output{{Name: "out"}}, Inputs: inputs,
			Platform: "x", Builder: "x", Env: map[string]string{"out": ""}}
		paths, err := d.OutputPaths(s.Dir, shared.Of)
		must(t, err)
		d.Outputs[0].Path, d.Env["out"] = paths[0], s.Dir.Join(paths[0])
		a := s.adder()
		a.Modulos = shared
		p, err := a.Derivation(context.Background(), d)
		must(t, err)
		inputs = []derivation.Input{{Path: p, Wanted: derivation.Wanted{Outputs: []string{"out"}}}}
	}
	// This test asks as often as the Adder does; one that is not known asks for its
	// own input.
	if asked > 3*depth {
		t.Errorf("asked for %d derivations to add %d", asked, depth)
	}
}

// What was known is nothing once it is not valid any more.
func TestADerivationThatIsGoneHasNoHash(t *testing.T) {
	s := newStore(t)
	valid := true
	m := &addition.Modulos{Layout: s.Layout, Valid: func(storepath.Path) (bool, error) { return valid, nil }}
	d := &derivation.Derivation{Name: "d", Outputs: []derivation.Output{{Name: "out"}}, Platform: "x", Builder: "x", Env: map[string]string{"out": ""}}
	paths, err := d.OutputPaths(s.Dir, nil)
	must(t, err)
	d.Outputs[0].Path, d.Env["out"] = paths[0], s.Dir.Join(paths[0])
	p, err := s.adder().Derivation(context.Background(), d)
	must(t, err)
	before, err := m.Of(p)
	must(t, err)
	want, err := d.Modulo(s.Dir, nil)
	must(t, err)
	if before != want {
		t.Errorf("the hash is %v, want %v", before, want)
	}
	valid = false
	if h, err := m.Of(p); err == nil {
		t.Errorf("the hash is %v", h)
	}
}
