package environment

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// PathInfo is what builders may learn of a valid path.
type PathInfo struct {
	NarHash    nixhash.Hash
	NarSize    uint64
	References []storepath.Path
	// CA is the content address in its text form, or empty.
	CA string
}

// Store answers questions about valid paths; asking about one that is not valid is an error.
type Store interface {
	PathInfo(storepath.Path) (PathInfo, error)
	// DerivationOutputs lists the outputs of a derivation in the store, all of which must be known.
	DerivationOutputs(storepath.Path) ([]storepath.Path, error)
}

// graph is a set of paths with their infos.
type graph map[storepath.Path]PathInfo

// add adds a path and all that it reaches.
func (g graph) add(store Store, path storepath.Path) error {
	for todo := []storepath.Path{path}; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, ok := g[next]; ok {
			continue
		}
		info, err := store.PathInfo(next)
		if err != nil {
			return err
		}
		g[next] = info
		todo = append(todo, info.References...)
	}
	return nil
}

func (g graph) sorted() []storepath.Path {
	return slices.SortedFunc(maps.Keys(g), storepath.Path.Compare)
}

// exportReferences is the closure of roots, which must be among the builder's inputs. Derivations in it
// bring the closures of their outputs, so that what they were built from can be passed on.
func exportReferences(r Request, roots []storepath.Path) (graph, error) {
	g := graph{}
	for _, root := range roots {
		known, err := r.Inputs(root)
		if err != nil {
			return nil, err
		}
		if !known {
			return nil, fmt.Errorf("cannot export references of path '%s' because it is not in the input closure of the derivation", r.Dir.Join(root))
		}
		if err := g.add(r.Store, root); err != nil {
			return nil, fmt.Errorf("export references of '%s': %w", r.Dir.Join(root), err)
		}
	}
	for _, path := range g.sorted() {
		if !path.IsDerivation() {
			continue
		}
		outputs, err := r.Store.DerivationOutputs(path)
		if err != nil {
			return nil, fmt.Errorf("export references of '%s': %w", r.Dir.Join(path), err)
		}
		for _, output := range outputs {
			if err := g.add(r.Store, output); err != nil {
				return nil, fmt.Errorf("export references of '%s': %w", r.Dir.Join(output), err)
			}
		}
	}
	return g, nil
}

// registration is the graph in the form of nix-store --register-validity, without hashes and derivers.
func (g graph) registration(dir storepath.Dir) string {
	var b strings.Builder
	for _, path := range g.sorted() {
		references := sortedPaths(g[path].References)
		b.WriteString(dir.Join(path) + "\n\n" + strconv.Itoa(len(references)) + "\n")
		for _, reference := range references {
			b.WriteString(dir.Join(reference) + "\n")
		}
	}
	return b.String()
}

// attributes is the graph as structured attributes have it.
func (g graph) attributes(dir storepath.Dir) []any {
	list := []any{}
	for _, path := range g.sorted() {
		info := g[path]
		references := []any{}
		for _, reference := range sortedPaths(info.References) {
			references = append(references, dir.Join(reference))
		}
		entry := map[string]any{
			"path": dir.Join(path), "narHash": info.NarHash.String(), "narSize": info.NarSize,
			"references": references, "closureSize": g.closureSize(path), "valid": true,
		}
		if info.CA != "" {
			entry["ca"] = info.CA
		}
		list = append(list, entry)
	}
	return list
}

// closureSize is the sum of the NAR sizes of all that a path of the graph reaches, itself included. The graph
// is closed, so nothing is missing from it.
func (g graph) closureSize(path storepath.Path) uint64 {
	seen := map[storepath.Path]bool{path: true}
	var size uint64
	for todo := []storepath.Path{path}; len(todo) > 0; {
		info := g[todo[len(todo)-1]]
		todo = todo[:len(todo)-1]
		size += info.NarSize
		for _, reference := range info.References {
			if !seen[reference] {
				seen[reference] = true
				todo = append(todo, reference)
			}
		}
	}
	return size
}

func sortedPaths(paths []storepath.Path) []storepath.Path {
	return slices.SortedFunc(slices.Values(paths), storepath.Path.Compare)
}
