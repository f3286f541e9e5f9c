package derivation

import (
	"fmt"
	"slices"
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// Modulo resolves an input derivation to its hash modulo; see
// [Derivation.Modulo].
type Modulo func(storepath.Path) (ModuloHash, error)

// ModuloHash is the hash of a derivation up to how its fixed outputs are made.
type ModuloHash struct {
	Hash nixhash.Hash
	// Deferred says that the paths of what is built with the outputs are not known
	// before these are built.
	Deferred bool
}

// Modulo is the hash of a derivation up to how its fixed outputs are made: that
// of a fixed output depends on the output alone, so that another way to fetch
// the same bytes changes nothing that is built from them.
func (d *Derivation) Modulo(dir storepath.Dir, inputs Modulo) (ModuloHash, error) {
	return d.modulo(dir, inputs, false)
}

// OutputHash is the hash that, with an output's name, stands for the output in
// realisations. It is the same for an input-addressed output whatever path that
// claims to have.
func (d *Derivation) OutputHash(dir storepath.Dir, inputs Modulo) (ModuloHash, error) {
	return d.modulo(dir, inputs, true)
}

func (d *Derivation) modulo(dir storepath.Dir, inputs Modulo, maskOutputs bool) (ModuloHash, error) {
	if d.IsFixed() {
		o := d.Outputs[0]
		return ModuloHash{Hash: nixhash.Sum(nixhash.SHA256, fmt.Appendf(nil, "fixed:out:%s%v:%s:%s",
			o.Method.Prefix(), o.Algorithm, o.Hash.Base16(), dir.Join(o.Path)))}, nil
	}
	return d.hash(dir, inputs, maskOutputs)
}

// hash is that of the printed form with inputs replaced by their hash modulo.
// Two inputs that have the same one become one, with the outputs of both.
func (d *Derivation) hash(dir storepath.Dir, inputs Modulo, maskOutputs bool) (ModuloHash, error) {
	merged := map[string]*printedInput{}
	deferred := d.Outputs[0].Kind == Floating || d.Outputs[0].Kind == Impure
	for _, in := range d.Inputs {
		h, err := inputs(in.Path)
		if err != nil {
			return ModuloHash{}, err
		}
		deferred = deferred || h.Deferred
		name := h.Hash.Base16()
		m := merged[name]
		if m == nil {
			m = &printedInput{name: name}
			merged[name] = m
		}
		m.Outputs = append(m.Outputs, in.Outputs...)
		m.Dynamic = append(m.Dynamic, in.Dynamic...)
	}
	printed := make([]printedInput, 0, len(merged))
	for _, m := range merged {
		slices.Sort(m.Outputs)
		m.Outputs = slices.Compact(m.Outputs)
		printed = append(printed, *m)
	}
	slices.SortFunc(printed, func(a, b printedInput) int { return strings.Compare(a.name, b.name) })
	return ModuloHash{nixhash.Sum(nixhash.SHA256, d.print(dir, printed, maskOutputs)), deferred}, nil
}

// OutputPaths computes where the outputs will be, in the order of Outputs: zero
// where that is not known before the build.
func (d *Derivation) OutputPaths(dir storepath.Dir, inputs Modulo) ([]storepath.Path, error) {
	if err := d.Supported(); err != nil {
		return nil, err
	}
	paths := make([]storepath.Path, len(d.Outputs))
	if kind := d.Outputs[0].Kind; kind == Floating || kind == Impure {
		return paths, nil
	}
	own, err := d.OutputHash(dir, inputs)
	if err != nil || own.Deferred {
		return paths, err
	}
	for i, o := range d.Outputs {
		name := OutputPathName(d.Name, o.Name)
		if o.Kind == Fixed {
			paths[i], err = dir.MakeFixed(name, o.Method, o.Hash, nil, false)
		} else {
			paths[i], err = dir.Make("output:"+o.Name, own.Hash, name)
		}
		if err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// OutputPathName is the name of an output's store path.
func OutputPathName(drvName, output string) string {
	if output == "out" {
		return drvName
	}
	return drvName + "-" + output
}

// Verify reports an output whose path is not the one computed, or whose
// variable says something else. The words are Nix's. A path that is left out
// claims nothing.
func (d *Derivation) Verify(dir storepath.Dir, inputs Modulo) error {
	paths, err := d.OutputPaths(dir, inputs)
	if err != nil {
		return err
	}
	for i, o := range d.Outputs {
		switch {
		case o.Path.IsZero():
			continue
		case paths[i].IsZero():
			return fmt.Errorf("derivation '%s' has incorrect output '%s', should be deferred", d.Name, dir.Join(o.Path))
		case o.Path != paths[i]:
			return fmt.Errorf("derivation '%s' has incorrect output '%s', should be '%s'", d.Name, dir.Join(o.Path), dir.Join(paths[i]))
		}
		if v, set := d.Env[o.Name]; set && v != dir.Join(paths[i]) {
			return fmt.Errorf("derivation '%s' has incorrect environment variable '%s', should be '%s'", d.Name, o.Name, dir.Join(paths[i]))
		}
	}
	return nil
}

// Placeholder stands for an output's path in a derivation's arguments and
// environment, and is replaced when it is built.
func Placeholder(output string) string {
	return "/" + nixhash.Sum(nixhash.SHA256, []byte("nix-output:"+output)).Base32()
}
