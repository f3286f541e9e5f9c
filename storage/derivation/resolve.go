package derivation

import (
	"fmt"
	"slices"
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// DownstreamPlaceholder stands for the path of an input's output in what is
// built with it, where that path is not known before the input is built.
func DownstreamPlaceholder(drv storepath.Path, output string) string {
	name := OutputPathName(strings.TrimSuffix(drv.Name(), ".drv"), output)
	return "/" + nixhash.Sum(nixhash.SHA256, []byte("nix-upstream-output:"+drv.HashPart()+":"+name)).Base32()
}

// MustResolve reports whether another derivation is built in the place of this
// one, made by [Derivation.Resolve] once the inputs' outputs are known. That is
// so of all whose outputs' paths are not known before; and of fixed ones where
// such a path is in their text.
func (d *Derivation) MustResolve() bool {
	switch d.Outputs[0].Kind {
	case InputAddressed:
		return false
	case Deferred:
		return true
	case Fixed:
		return d.hasPlaceholder()
	}
	return len(d.Inputs) > 0
}

// hasPlaceholder reports whether an output of an input stands in the text by a
// placeholder.
func (d *Derivation) hasPlaceholder() bool {
	texts := append([]string{d.Builder}, d.Args...)
	for name, value := range d.Env {
		texts = append(texts, name, value)
	}
	for _, in := range d.Inputs {
		for _, output := range in.Outputs {
			p := DownstreamPlaceholder(in.Path, output)
			if slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, p) }) {
				return true
			}
		}
	}
	return false
}

// Resolve is the derivation that is built in the place of one with input
// derivations: their outputs are sources, as if they had always been there, and
// what stood for their paths is replaced by these. So derivations become equal
// that differ only in how their inputs are made. The paths of deferred outputs
// are known then.
func (d *Derivation) Resolve(dir storepath.Dir, output func(drv storepath.Path, name string) (storepath.Path, bool)) (*Derivation, error) {
	if err := d.Supported(); err != nil {
		return nil, err
	}
	r := &Derivation{Name: d.Name, Outputs: slices.Clone(d.Outputs), Sources: slices.Clone(d.Sources), Platform: d.Platform}
	var pairs []string
	for _, in := range d.Inputs {
		for _, name := range in.Outputs {
			p, ok := output(in.Path, name)
			if !ok {
				return nil, fmt.Errorf("resolve derivation '%s': output '%s' of '%s' is not known", d.Name, name, dir.Join(in.Path))
			}
			pairs = append(pairs, DownstreamPlaceholder(in.Path, name), dir.Join(p))
			r.Sources = append(r.Sources, p)
		}
	}
	slices.SortFunc(r.Sources, storepath.Path.Compare)
	r.Sources = slices.Compact(r.Sources)
	if err := d.rewriteInto(r, strings.NewReplacer(pairs...)); err != nil {
		return nil, fmt.Errorf("resolve derivation '%s': %w", d.Name, err)
	}
	return r, r.fillDeferred(dir)
}

// rewriteInto copies what builders read, with replacements.
func (d *Derivation) rewriteInto(r *Derivation, with *strings.Replacer) error {
	r.Builder = with.Replace(d.Builder)
	for _, a := range d.Args {
		r.Args = append(r.Args, with.Replace(a))
	}
	r.Env = make(map[string]string, len(d.Env))
	for name, value := range d.Env {
		r.Env[with.Replace(name)] = with.Replace(value)
	}
	text, structured := r.StructuredAttrs()
	if !structured {
		return nil
	}
	sorted, err := sortedJSON([]byte(text)) // the order of the keys may have changed
	r.Env[structuredKey] = string(sorted)
	return err
}

// fillDeferred makes deferred outputs input-addressed; there are no inputs left.
func (d *Derivation) fillDeferred(dir storepath.Dir) error {
	if d.Outputs[0].Kind != Deferred {
		return nil
	}
	own, err := d.OutputHash(dir, nil)
	if err != nil {
		return err
	}
	for i := range d.Outputs {
		o := &d.Outputs[i]
		if o.Path, err = dir.Make("output:"+o.Name, own.Hash, OutputPathName(d.Name, o.Name)); err != nil {
			return fmt.Errorf("resolve derivation '%s': %w", d.Name, err)
		}
		o.Kind = InputAddressed
	}
	for _, o := range d.Outputs {
		d.Env[o.Name] = dir.Join(o.Path)
	}
	return nil
}
