// Package derivation holds derivations: what they say, how Nix writes them, and
// which paths their outputs have. It does no I/O.
package derivation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// Derivation is one build: a program, its arguments and environment, and what
// it reads and makes. Lists that Nix keeps sorted are sorted here.
type Derivation struct {
	Name     string // of the derivation, without ".drv"
	Outputs  []Output
	Inputs   []Input // derivations whose outputs are read
	Sources  []storepath.Path
	Platform string
	Builder  string
	Args     []string
	Env      map[string]string
}

// Output is one thing that a build makes.
type Output struct {
	Name string
	Kind Kind
	// Path is where it will be; zero where that is not known before the build.
	Path storepath.Path
	// Method and Algorithm say how the contents of a content-addressed output
	// are hashed, and Hash what a [Fixed] one must come to.
	Method    storepath.Method
	Algorithm nixhash.Algorithm
	Hash      nixhash.Hash
}

// ContentAddress is how Nix writes the contents of a [Fixed] output; "" for others.
func (o Output) ContentAddress() string {
	if o.Kind != Fixed {
		return ""
	}
	return storepath.ContentAddress{Method: o.Method, Hash: o.Hash}.String()
}

// Kind says what an output's path depends on.
type Kind uint8

const (
	InputAddressed Kind = iota // on the derivation
	Fixed                      // on contents that are known before
	Floating                   // on contents that the build makes
	Deferred                   // on inputs that are floating
	Impure                     // on contents, anew at every build
)

func (k Kind) String() string {
	return [...]string{"input-addressed", "fixed", "floating content-addressed", "deferred", "impure"}[k]
}

// Input is a derivation and those of its outputs that are read.
type Input struct {
	Path storepath.Path
	Wanted
}

// Wanted are outputs, and outputs of derivations that outputs are.
type Wanted struct {
	Outputs []string
	Dynamic []Dynamic
}

// Dynamic is an output that is itself a derivation, and what is wanted of it.
type Dynamic struct {
	Output string
	Wanted
}

// Output finds an output by name.
func (d *Derivation) Output(name string) (Output, bool) {
	i, ok := slices.BinarySearchFunc(d.Outputs, name, func(o Output, n string) int { return strings.Compare(o.Name, n) })
	if !ok {
		return Output{}, false
	}
	return d.Outputs[i], true
}

// IsFixed reports whether the one output's contents are known before the build.
func (d *Derivation) IsFixed() bool { return len(d.Outputs) == 1 && d.Outputs[0].Kind == Fixed }

// IsImpure reports whether the outputs are made anew at every build.
func (d *Derivation) IsImpure() bool { return len(d.Outputs) > 0 && d.Outputs[0].Kind == Impure }

// HasNetwork reports whether the builder may reach other machines: what it makes is
// checked, or is not relied on to be the same again.
func (d *Derivation) HasNetwork() bool { return d.IsFixed() || d.IsImpure() }

// KnowsOutputs reports whether the outputs' paths are known before the build.
func (d *Derivation) KnowsOutputs() bool {
	return len(d.Outputs) > 0 && (d.Outputs[0].Kind == InputAddressed || d.Outputs[0].Kind == Fixed)
}

// structuredKey is the variable that holds structured attributes.
const structuredKey = "__json"

// StructuredAttrs is the JSON text of the attributes, where they are structured.
func (d *Derivation) StructuredAttrs() (string, bool) {
	text, ok := d.Env[structuredKey]
	return text, ok
}

// IsDynamic reports whether outputs of outputs are read.
func (d *Derivation) IsDynamic() bool {
	return slices.ContainsFunc(d.Inputs, func(i Input) bool { return len(i.Dynamic) > 0 })
}

// Nested are outputs of a derivation that is itself an output.
type Nested struct {
	Through []string // the outputs that lead to it, from an input derivation on; none for that itself
	Outputs []string
}

// Nested lists what is wanted, and what is wanted of that, with all that is
// nearer first.
func (w Wanted) Nested() (all []Nested) {
	for todo := []Nested{{}}; len(todo) > 0; todo = todo[1:] {
		at := w.below(todo[0].Through)
		if len(at.Outputs) > 0 {
			all = append(all, Nested{todo[0].Through, at.Outputs})
		}
		for _, d := range at.Dynamic {
			todo = append(todo, Nested{Through: append(slices.Clone(todo[0].Through), d.Output)})
		}
	}
	return all
}

func (w Wanted) below(through []string) Wanted {
	for _, output := range through {
		for _, d := range w.Dynamic {
			if d.Output == output {
				w = d.Wanted
				break
			}
		}
	}
	return w
}

// check reports what no derivation may be.
func (d *Derivation) check() error {
	if err := storepath.CheckName(d.Name); err != nil {
		return err
	}
	if len(d.Outputs) == 0 {
		return fmt.Errorf("it has no outputs")
	}
	for _, o := range d.Outputs {
		if o.Kind != d.Outputs[0].Kind {
			return fmt.Errorf("it has %v and %v outputs", d.Outputs[0].Kind, o.Kind)
		}
		if o.Kind == Fixed && (len(d.Outputs) > 1 || o.Name != "out") {
			return fmt.Errorf("a fixed output must be the only one and be called 'out'")
		}
		if o.Kind == Floating && o.Algorithm != d.Outputs[0].Algorithm {
			return fmt.Errorf("its outputs are hashed by %v and %v", d.Outputs[0].Algorithm, o.Algorithm)
		}
	}
	if text, ok := d.StructuredAttrs(); ok && !json.Valid([]byte(text)) {
		return fmt.Errorf("its structured attributes are not JSON")
	}
	return nil
}

// Refs are the store paths that the derivation's own file refers to, sorted.
func (d *Derivation) Refs() []storepath.Path {
	refs := slices.Clone(d.Sources)
	for _, in := range d.Inputs {
		refs = append(refs, in.Path)
	}
	slices.SortFunc(refs, storepath.Path.Compare)
	return slices.Compact(refs)
}

// Path is where the derivation's own file lies in a store.
func (d *Derivation) Path(dir storepath.Dir) (storepath.Path, error) {
	return dir.MakeText(d.Name+".drv", nixhash.Sum(nixhash.SHA256, d.Print(dir)), d.Refs())
}
