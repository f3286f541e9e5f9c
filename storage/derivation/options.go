package derivation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"troupe/storage/outputcheck"
	"troupe/storage/storepath"
)

// Options is what a derivation asks of whoever builds it, by attributes that
// have a meaning of their own.
type Options struct {
	PreferLocalBuild       bool
	AllowSubstitutes       bool
	NoChroot               bool
	RequiredSystemFeatures []string
	ImpureEnvVars          []string
	ImpureHostDeps         []string
	PassAsFile             []string
	// ExportReferencesGraph maps a name to the paths whose closure is told.
	ExportReferencesGraph map[string][]storepath.Path
	// Rules are the checks of each output, by name; outputs without any are free.
	Rules map[string]outputcheck.Rules
	// DiscardReferences are the outputs that are not scanned.
	DiscardReferences map[string]bool
	// Warnings are for people: what is said in a way that has no effect.
	Warnings []string
}

// Options reads them from the environment, or from the attributes where those
// are structured. The errors are worded as Nix words them.
func (d *Derivation) Options(dir storepath.Dir) (Options, error) {
	var a attributes = plainAttributes(d.Env)
	text, structured := d.StructuredAttrs()
	if structured {
		var s structuredAttributes
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return Options{}, fmt.Errorf("error processing structured attributes: %w", err)
		}
		a = s
	}
	r := optionReader{dir: dir, a: a}
	o := Options{
		PreferLocalBuild:       r.bool("preferLocalBuild", false),
		AllowSubstitutes:       r.bool("allowSubstitutes", true),
		NoChroot:               r.bool("__noChroot", false),
		RequiredSystemFeatures: r.words("requiredSystemFeatures"),
		ImpureEnvVars:          r.words("impureEnvVars"),
		ImpureHostDeps:         r.words("__impureHostDeps"),
	}
	if structured {
		r.structured(d, &o, a.(structuredAttributes))
	} else {
		r.plain(d, &o)
	}
	return o, r.err
}

// attributes are where options come from.
type attributes interface {
	bool(name string) (value, set bool, err error)
	words(name string) (value []string, set bool, err error)
}

type plainAttributes map[string]string

func (a plainAttributes) bool(name string) (bool, bool, error) {
	v, set := a[name]
	return v == "1", set, nil
}

func (a plainAttributes) words(name string) ([]string, bool, error) {
	v, set := a[name]
	return fields(v), set, nil
}

// fields splits where Nix does: at blanks of ASCII, and no others.
func fields(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return strings.ContainsRune(" \t\n\r", c) })
}

type structuredAttributes map[string]json.RawMessage

func (a structuredAttributes) bool(name string) (v, set bool, err error) {
	raw, set := a[name]
	if !set {
		return false, false, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return false, true, fmt.Errorf("attribute '%s' must be a Boolean", name)
	}
	return v, true, nil
}

func (a structuredAttributes) words(name string) (v []string, set bool, err error) {
	raw, set := a[name]
	if !set {
		return nil, false, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil || v == nil {
		return nil, true, fmt.Errorf("attribute '%s' must be a list of strings", name)
	}
	return v, true, nil
}

// optionReader keeps the first error.
type optionReader struct {
	dir storepath.Dir
	a   attributes
	err error
}

func (r *optionReader) fail(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

func (r *optionReader) bool(name string, otherwise bool) bool {
	v, set, err := r.a.bool(name)
	r.fail(err)
	if !set {
		return otherwise
	}
	return v
}

func (r *optionReader) words(name string) []string {
	v, _, err := r.a.words(name)
	r.fail(err)
	return v
}

// plain reads what only an environment says in this way.
func (r *optionReader) plain(d *Derivation, o *Options) {
	o.PassAsFile = r.words("passAsFile")
	o.ExportReferencesGraph = r.graphPairs(d.Env["exportReferencesGraph"])
	rules := outputcheck.Rules{
		AllowedReferences:    r.references(r.a, "allowedReferences"),
		AllowedRequisites:    r.references(r.a, "allowedRequisites"),
		DisallowedReferences: r.references(r.a, "disallowedReferences"),
		DisallowedRequisites: r.references(r.a, "disallowedRequisites"),
		IgnoreSelfRefs:       true,
	}
	o.Rules = map[string]outputcheck.Rules{}
	for _, out := range d.Outputs {
		o.Rules[out.Name] = rules
	}
}

// graphPairs reads "name path name path …".
func (r *optionReader) graphPairs(s string) map[string][]storepath.Path {
	words := fields(s)
	if len(words)%2 != 0 {
		r.fail(fmt.Errorf("odd number of tokens in 'exportReferencesGraph': '%s'", s))
		return nil
	}
	graphs := map[string][]storepath.Path{}
	for pair := range slices.Chunk(words, 2) {
		graphs[pair[0]] = []storepath.Path{r.inside(pair[1])} // the last of a name wins
	}
	return graphs
}

// inside is the store path that a path is or lies in.
func (r *optionReader) inside(s string) storepath.Path {
	p, _, err := r.dir.ParseInside(s)
	if err != nil {
		r.fail(fmt.Errorf("'exportReferencesGraph' contains a non-store path '%s'", s))
	}
	return p
}

// references reads a list of store paths and output names; nil is no list.
func (r *optionReader) references(a attributes, name string) []outputcheck.Reference {
	words, set, err := a.words(name)
	r.fail(err)
	if !set {
		return nil
	}
	refs := []outputcheck.Reference{}
	for _, w := range words {
		if p, err := r.dir.Parse(w); err == nil {
			refs = append(refs, outputcheck.Reference{Path: p})
		} else {
			refs = append(refs, outputcheck.Reference{Output: w})
		}
	}
	return refs
}

// structured reads what only structured attributes say in this way.
func (r *optionReader) structured(d *Derivation, o *Options, a structuredAttributes) {
	graphs, set := a["exportReferencesGraph"]
	if set && !bytes.HasPrefix(bytes.TrimSpace(graphs), []byte("{")) {
		o.Warnings = append(o.Warnings, "'exportReferencesGraph' in structured attrs is not a JSON object, ignoring")
	}
	o.ExportReferencesGraph = r.structuredGraphs(graphs)
	o.Rules = map[string]outputcheck.Rules{}
	var checks map[string]structuredAttributes
	r.object(a, "outputChecks", &checks)
	for name, c := range checks {
		if _, ok := d.Output(name); ok {
			o.Rules[name] = r.rules(c)
		}
	}
	r.object(a, "unsafeDiscardReferences", &o.DiscardReferences)
}

func (r *optionReader) object(a structuredAttributes, name string, into any) {
	raw, set := a[name]
	if !set {
		return
	}
	if err := json.Unmarshal(raw, into); err != nil {
		r.fail(fmt.Errorf("attribute '%s' is not of the form expected: %w", name, err))
	}
}

func (r *optionReader) rules(c structuredAttributes) outputcheck.Rules {
	ignoreSelf, _, err := c.bool("ignoreSelfRefs")
	r.fail(err)
	return outputcheck.Rules{
		AllowedReferences:    r.references(c, "allowedReferences"),
		AllowedRequisites:    r.references(c, "allowedRequisites"),
		DisallowedReferences: r.references(c, "disallowedReferences"),
		DisallowedRequisites: r.references(c, "disallowedRequisites"),
		MaxSize:              r.size(c, "maxSize"),
		MaxClosureSize:       r.size(c, "maxClosureSize"),
		IgnoreSelfRefs:       ignoreSelf,
	}
}

func (r *optionReader) size(c structuredAttributes, name string) *uint64 {
	raw, set := c[name]
	if !set {
		return nil
	}
	var n uint64
	if err := json.Unmarshal(raw, &n); err != nil {
		r.fail(fmt.Errorf("attribute '%s' must be a number of bytes", name))
		return nil
	}
	return &n
}

// structuredGraphs reads an object of lists, or of single paths.
func (r *optionReader) structuredGraphs(raw json.RawMessage) map[string][]storepath.Path {
	if raw == nil {
		return nil
	}
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil // Nix ignores what is no object
	}
	graphs := map[string][]storepath.Path{}
	for name, v := range all {
		graphs[name] = r.flatten(v)
	}
	return graphs
}

// flatten takes the paths out of lists in lists.
func (r *optionReader) flatten(v any) (paths []storepath.Path) {
	switch v := v.(type) {
	case string:
		return []storepath.Path{r.inside(v)}
	case []any:
		for _, x := range v {
			paths = append(paths, r.flatten(x)...)
		}
		return paths
	}
	r.fail(fmt.Errorf("'exportReferencesGraph' value is not an array or a string"))
	return nil
}
