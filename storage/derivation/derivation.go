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

// UnsupportedError refuses a derivation for what it needs.
type UnsupportedError struct{ Feature string }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s derivations are not supported yet", e.Feature)
}

// Supported returns an [*UnsupportedError] for what troupe cannot build yet.
func (d *Derivation) Supported() error {
	for _, in := range d.Inputs {
		if len(in.Dynamic) > 0 {
			return &UnsupportedError{Feature: "dynamic"}
		}
	}
	return nil
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
