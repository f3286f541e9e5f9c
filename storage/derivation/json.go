package derivation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// jsonVersion is the form of Nix 2.34: paths by their base names, inputs in one
// object, structured attributes on their own.
const jsonVersion = 4

type jsonDerivation struct {
	Args            []string              `json:"args"`
	Builder         string                `json:"builder"`
	Env             map[string]string     `json:"env"`
	Inputs          jsonInputs            `json:"inputs"`
	Name            string                `json:"name"`
	Outputs         map[string]jsonOutput `json:"outputs"`
	StructuredAttrs json.RawMessage       `json:"structuredAttrs,omitempty"`
	System          string                `json:"system"`
	Version         int                   `json:"version"`
}

type jsonInputs struct {
	Drvs map[storepath.Path]jsonWanted `json:"drvs"`
	Srcs []storepath.Path              `json:"srcs"`
}

type jsonWanted struct {
	DynamicOutputs map[string]jsonWanted `json:"dynamicOutputs"`
	Outputs        []string              `json:"outputs"`
}

type jsonOutput struct {
	Hash          string `json:"hash,omitempty"` // SRI
	HashAlgorithm string `json:"hashAlgo,omitempty"`
	Impure        bool   `json:"impure,omitempty"`
	Method        string `json:"method,omitempty"`
	Path          string `json:"path,omitempty"`
}

// MarshalJSON writes the form of "nix derivation show", as Nix 2.34 has it.
func (d *Derivation) MarshalJSON() ([]byte, error) {
	j := jsonDerivation{
		Args: append([]string{}, d.Args...), Builder: d.Builder, Env: map[string]string{},
		Inputs: jsonInputs{Drvs: map[storepath.Path]jsonWanted{}, Srcs: append([]storepath.Path{}, d.Sources...)},
		Name:   d.Name, Outputs: map[string]jsonOutput{}, System: d.Platform, Version: jsonVersion,
	}
	for k, v := range d.Env {
		if k != structuredKey {
			j.Env[k] = v
		}
	}
	for _, in := range d.Inputs {
		j.Inputs.Drvs[in.Path] = in.Wanted.json()
	}
	for _, o := range d.Outputs {
		j.Outputs[o.Name] = o.json()
	}
	if text, ok := d.StructuredAttrs(); ok {
		var err error
		if j.StructuredAttrs, err = sortedJSON([]byte(text)); err != nil {
			return nil, err
		}
	}
	return encodeJSON(j)
}

// encodeJSON does not escape what HTML would want escaped.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return rawSeparators(bytes.TrimSuffix(b.Bytes(), []byte{'\n'})), err
}

// rawSeparators writes U+2028 and U+2029 as they are, as Nix does; the encoder
// of the standard library always escapes them.
func rawSeparators(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\':
			out = append(out, text[i])
		case bytes.HasPrefix(text[i:], []byte(`\u2028`)):
			out = append(out, "\u2028"...)
			i += 5
		case bytes.HasPrefix(text[i:], []byte(`\u2029`)):
			out = append(out, "\u2029"...)
			i += 5
		default:
			out = append(out, text[i], text[i+1])
			i++
		}
	}
	return out
}

// sortedJSON is the same value with the keys of objects in order and no blanks;
// numbers stay as they are written.
func sortedJSON(text []byte) ([]byte, error) {
	var v any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return encodeJSON(v)
}

func (w Wanted) json() jsonWanted {
	j := jsonWanted{DynamicOutputs: map[string]jsonWanted{}, Outputs: append([]string{}, w.Outputs...)}
	for _, d := range w.Dynamic {
		j.DynamicOutputs[d.Output] = d.Wanted.json()
	}
	return j
}

func (o Output) json() jsonOutput {
	switch o.Kind {
	case InputAddressed:
		return jsonOutput{Path: o.Path.Base()}
	case Fixed:
		return jsonOutput{Hash: o.Hash.SRI(), Method: o.Method.String()}
	case Deferred:
		return jsonOutput{}
	}
	return jsonOutput{HashAlgorithm: o.Algorithm.String(), Method: o.Method.String(), Impure: o.Kind == Impure}
}

// WriteJSON writes derivations as "nix derivation show" does, one at a time.
func WriteJSON(w io.Writer, all func(yield func(storepath.Path, *Derivation) bool)) error {
	if _, err := io.WriteString(w, `{"derivations":{`); err != nil {
		return err
	}
	separator := ""
	var failed error
	all(func(p storepath.Path, d *Derivation) bool {
		var text []byte
		if text, failed = d.MarshalJSON(); failed == nil {
			_, failed = fmt.Fprintf(w, "%s%q:%s", separator, p.Base(), text)
		}
		separator = ","
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	_, err := fmt.Fprintf(w, "},\"version\":%d}\n", jsonVersion)
	return err
}

// ParseJSON reads what "nix derivation add" takes: one derivation in the form of
// Nix 2.34. The paths of fixed outputs are computed; those of input-addressed
// ones may be left out where inputs can be resolved, and are then computed too.
func ParseJSON(dir storepath.Dir, data []byte, inputs Modulo) (*Derivation, error) {
	var j jsonDerivation
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&j); err != nil {
		return nil, fmt.Errorf("parse derivation JSON: byte %d: %w", dec.InputOffset(), err)
	}
	if dec.More() {
		return nil, fmt.Errorf("parse derivation JSON: byte %d: something follows the derivation", dec.InputOffset())
	}
	d, err := j.derivation(dir)
	if err == nil {
		err = d.complete(dir, inputs)
	}
	if err != nil {
		return nil, fmt.Errorf("parse derivation JSON: '%s': %w", j.Name, err)
	}
	return d, nil
}

func (j *jsonDerivation) derivation(dir storepath.Dir) (*Derivation, error) {
	if j.Version != jsonVersion {
		return nil, fmt.Errorf("version %d is not the one understood, which is %d", j.Version, jsonVersion)
	}
	d := &Derivation{Name: j.Name, Platform: j.System, Builder: j.Builder, Args: j.Args, Env: j.Env, Sources: j.Inputs.Srcs}
	if d.Env == nil {
		d.Env = map[string]string{}
	}
	if _, ok := d.Env[structuredKey]; ok {
		return nil, fmt.Errorf("'%s' belongs into structuredAttrs, not into env", structuredKey)
	}
	if j.StructuredAttrs != nil {
		text, err := sortedJSON(j.StructuredAttrs)
		if err != nil {
			return nil, err
		}
		d.Env[structuredKey] = string(text)
	}
	slices.SortFunc(d.Sources, storepath.Path.Compare)
	d.Sources = slices.Compact(d.Sources)
	for p, w := range j.Inputs.Drvs {
		if !p.IsDerivation() {
			return nil, fmt.Errorf("input '%v' is no derivation", p)
		}
		d.Inputs = append(d.Inputs, Input{p, w.wanted()})
	}
	slices.SortFunc(d.Inputs, func(a, b Input) int { return a.Path.Compare(b.Path) })
	for name, o := range j.Outputs {
		out, err := o.output(dir, j.Name, name)
		if err != nil {
			return nil, fmt.Errorf("output '%s': %w", name, err)
		}
		d.Outputs = append(d.Outputs, out)
	}
	slices.SortFunc(d.Outputs, func(a, b Output) int { return strings.Compare(a.Name, b.Name) })
	return d, d.check()
}

func (j jsonWanted) wanted() Wanted {
	w := Wanted{Outputs: slices.Sorted(slices.Values(j.Outputs))}
	w.Outputs = slices.Compact(w.Outputs)
	for name, d := range j.DynamicOutputs {
		w.Dynamic = append(w.Dynamic, Dynamic{name, d.wanted()})
	}
	slices.SortFunc(w.Dynamic, func(a, b Dynamic) int { return strings.Compare(a.Output, b.Output) })
	return w
}

func (j jsonOutput) output(dir storepath.Dir, drvName, name string) (o Output, err error) {
	if err := storepath.CheckName(name); err != nil {
		return Output{}, err
	}
	o = Output{Name: name, Kind: Deferred}
	if j.Path != "" {
		o.Kind = InputAddressed
		o.Path, err = storepath.ParseBase(j.Path)
		return o, err
	}
	if j.Method == "" {
		return o, nil
	}
	if o.Method, err = methodNamed(j.Method); err != nil {
		return o, err
	}
	switch {
	case j.Hash != "":
		o.Kind = Fixed
		if o.Hash, err = nixhash.Parse(j.Hash, 0); err != nil {
			return o, err
		}
		o.Algorithm = o.Hash.Algorithm()
		o.Path, err = dir.MakeFixed(OutputPathName(drvName, name), o.Method, o.Hash, nil, false)
		return o, err
	case j.Impure:
		o.Kind = Impure
	default:
		o.Kind = Floating
	}
	o.Algorithm, err = nixhash.ParseAlgorithm(j.HashAlgorithm)
	return o, err
}

func methodNamed(s string) (storepath.Method, error) {
	for _, m := range []storepath.Method{storepath.Flat, storepath.NAR, storepath.Text, storepath.Git} {
		if m.String() == s {
			return m, nil
		}
	}
	return 0, fmt.Errorf("unknown content-address method '%s'", s)
}

// complete computes the output paths that were left out, and sets the variables
// that name them. An output with neither path nor hash reads as deferred; it is
// one only where an input's output is not known before that is built.
func (d *Derivation) complete(dir storepath.Dir, inputs Modulo) error {
	if inputs == nil || len(d.Outputs) == 0 || d.Outputs[0].Kind != Deferred {
		return nil
	}
	named := maps.Clone(d.Env)
	for i, o := range d.Outputs {
		d.Outputs[i].Kind = InputAddressed
		if _, set := d.Env[o.Name]; !set {
			d.Env[o.Name] = ""
		}
	}
	paths, err := d.OutputPaths(dir, inputs)
	if err != nil {
		return err
	}
	if paths[0].IsZero() {
		d.Env = named
	}
	for i, o := range d.Outputs {
		if d.Outputs[i].Path = paths[i]; paths[i].IsZero() {
			d.Outputs[i].Kind = Deferred
			continue
		}
		d.Env[o.Name] = dir.Join(paths[i])
	}
	return nil
}
