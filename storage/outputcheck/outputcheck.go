// Package outputcheck says whether what a builder made may refer to what it refers to, and be as large as it
// is. Check is a pure function with the words of Nix 2.34.8. It is unaware of stores and builds.
package outputcheck

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"troupe/storage/storepath"
)

// Output is one output as it was found after the build.
type Output struct {
	Path       storepath.Path
	NarSize    uint64
	References []storepath.Path // may name Path itself and other outputs
}

// Reference is an entry of a list in the derivation: a store path, or else the name of an output.
type Reference struct {
	Path   storepath.Path
	Output string // where Path is the zero value
}

// Rules are what a derivation demands of an output.
type Rules struct {
	// The allowed lists hold where they are not nil; an empty one allows nothing.
	AllowedReferences, AllowedRequisites       []Reference
	DisallowedReferences, DisallowedRequisites []Reference
	// MaxSize and MaxClosureSize are in bytes of NAR; nil is no limit.
	MaxSize, MaxClosureSize *uint64
	// IgnoreSelfRefs lets an output be among its own requisites; it is so without structured attributes.
	IgnoreSelfRefs bool
}

// Request is what Check looks at.
type Request struct {
	Dir        storepath.Dir
	Derivation storepath.Path
	Outputs    map[string]Output
	// Rules by the name of the output; outputs without any are free.
	Rules map[string]Rules
	// Lookup answers for paths that are valid already; outputs are not asked for.
	Lookup func(storepath.Path) (narSize uint64, references []storepath.Path, err error)
}

// Rejection is the error for an output that breaks a rule. Its text is Nix's.
type Rejection struct{ Text string }

func (r *Rejection) Error() string { return r.Text }

// Check goes through the outputs by name and returns the first broken rule as a *Rejection, or an error of
// Lookup's.
func Check(r Request) error {
	for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
		rules, ok := r.Rules[name]
		if !ok {
			continue
		}
		c := check{Request: r, name: name, output: r.Outputs[name], rules: rules}
		if err := c.sizes(); err != nil {
			return err
		}
		if err := c.references(); err != nil {
			return err
		}
	}
	return nil
}

// check is the check of one output.
type check struct {
	Request
	name   string
	output Output
	rules  Rules
}

func (c check) reject(format string, args ...any) error {
	return &Rejection{Text: fmt.Sprintf(format, args...)}
}

func (c check) sizes() error {
	if limit := c.rules.MaxSize; limit != nil && c.output.NarSize > *limit {
		return c.reject("path '%s' is too large at %d bytes; limit is %d bytes", c.Dir.Join(c.output.Path), c.output.NarSize, *limit)
	}
	limit := c.rules.MaxClosureSize
	if limit == nil {
		return nil
	}
	_, size, err := c.closure()
	if err != nil {
		return err
	}
	if size > *limit {
		return c.reject("closure of path '%s' is too large at %d bytes; limit is %d bytes", c.Dir.Join(c.output.Path), size, *limit)
	}
	return nil
}

// references checks the four lists, in Nix's order, as the first broken one is what is told.
func (c check) references() error {
	for _, list := range []struct {
		references         []Reference
		holds              bool
		allowed, recursive bool
	}{
		{c.rules.AllowedReferences, c.rules.AllowedReferences != nil, true, false},
		{c.rules.AllowedRequisites, c.rules.AllowedRequisites != nil, true, true},
		{c.rules.DisallowedReferences, len(c.rules.DisallowedReferences) > 0, false, false},
		{c.rules.DisallowedRequisites, len(c.rules.DisallowedRequisites) > 0, false, true},
	} {
		if !list.holds {
			continue
		}
		listed, err := c.resolve(list.references)
		if err != nil {
			return err
		}
		used, err := c.used(list.recursive)
		if err != nil {
			return err
		}
		if err := c.compare(used, listed, list.allowed); err != nil {
			return err
		}
	}
	return nil
}

// resolve turns names of outputs into their paths.
func (c check) resolve(list []Reference) (map[storepath.Path]bool, error) {
	listed := map[storepath.Path]bool{}
	for _, reference := range list {
		if !reference.Path.IsZero() {
			listed[reference.Path] = true
			continue
		}
		output, ok := c.Outputs[reference.Output]
		if !ok {
			return nil, c.reject("derivation '%s' output check for '%s' contains output name '%s', but this is not a valid output of this derivation."+
				" (Valid outputs are [%s].)", c.Dir.Join(c.Derivation), c.name, reference.Output, strings.Join(slices.Sorted(maps.Keys(c.Outputs)), ", "))
		}
		listed[output.Path] = true
	}
	return listed, nil
}

func (c check) used(recursive bool) (map[storepath.Path]bool, error) {
	if recursive {
		used, _, err := c.closure()
		if c.rules.IgnoreSelfRefs {
			delete(used, c.output.Path)
		}
		return used, err
	}
	used := map[storepath.Path]bool{}
	for _, reference := range c.output.References {
		used[reference] = true
	}
	return used, nil
}

func (c check) compare(used, listed map[storepath.Path]bool, allowed bool) error {
	var bad strings.Builder
	for _, path := range slices.SortedFunc(maps.Keys(used), storepath.Path.Compare) {
		if listed[path] != allowed {
			bad.WriteString("\n  " + c.Dir.Join(path))
		}
	}
	if bad.Len() == 0 {
		return nil
	}
	return c.reject("output '%s' is not allowed to refer to the following paths:%s", c.Dir.Join(c.output.Path), bad.String())
}

// closure is the output with all that it reaches, and the sum of their sizes. Other outputs may be on the way,
// which are not valid yet.
func (c check) closure() (paths map[storepath.Path]bool, size uint64, err error) {
	outputs := map[storepath.Path]Output{}
	for _, output := range c.Outputs {
		outputs[output.Path] = output
	}
	paths = map[storepath.Path]bool{}
	for todo := []storepath.Path{c.output.Path}; len(todo) > 0; {
		path := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if paths[path] {
			continue
		}
		paths[path] = true
		output, ok := outputs[path]
		if !ok {
			if output.NarSize, output.References, err = c.Lookup(path); err != nil {
				return nil, 0, fmt.Errorf("check closure of '%s': %w", c.Dir.Join(c.output.Path), err)
			}
		}
		size += output.NarSize
		todo = append(todo, output.References...)
	}
	return paths, size, nil
}
