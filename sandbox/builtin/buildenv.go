package builtin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// pkg is one package of a user environment. Of two files in the same place, the one of the package with the
// smaller priority wins; equal priorities are a conflict.
type pkg struct {
	path     string
	active   bool
	priority int
}

// propagatedPriority is where packages that others bring along begin: each counts as a class of its own,
// weaker than any that was asked for.
const propagatedPriority = 1000

// buildEnv makes a tree of symlinks over the packages in "derivations", and manifest.nix, a link to "manifest".
// A directory of one package alone becomes one symlink; one that several have becomes a directory.
func buildEnv(in Input) error {
	out, err := in.out()
	if err != nil {
		return err
	}
	text, err := in.attribute("derivations")
	if err != nil {
		return err
	}
	manifest, err := in.attribute("manifest")
	if err != nil {
		return err
	}
	pkgs, err := parsePackages(text)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("make environment: %w", err)
	}
	env := &environment{in: in, priorities: map[string]int{}, done: map[string]bool{}, postponed: map[string]bool{}}
	if err := env.build(out, pkgs); err != nil {
		return err
	}
	return os.Symlink(manifest, filepath.Join(out, "manifest.nix"))
}

// parsePackages reads words: for each derivation "false" or anything else, its priority, the number of its
// outputs, and their paths.
func parsePackages(text string) ([]pkg, error) {
	var pkgs []pkg
	for list := words(text); len(list) > 0; {
		if len(list) < 3 {
			return nil, errors.New("attribute 'derivations': it ends within an entry")
		}
		priority, err := strconv.ParseInt(list[1], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("attribute 'derivations': priority %q is not a number", list[1])
		}
		count, err := strconv.ParseUint(list[2], 10, 32)
		if err != nil || count > uint64(len(list)-3) {
			return nil, fmt.Errorf("attribute 'derivations': %q is not the number of outputs that follow", list[2])
		}
		for _, path := range list[3 : 3+count] {
			pkgs = append(pkgs, pkg{path: filepath.Clean(path), active: list[0] != "false", priority: int(priority)})
		}
		list = list[3+count:]
	}
	return pkgs, nil
}

func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\r", r) })
}

// environment is the state of one run of buildEnv.
type environment struct {
	in Input
	// priorities of the symlinks made so far, by their path.
	priorities map[string]int
	// done are the packages that were added, postponed those that are to come after all others.
	done, postponed map[string]bool
}

func (e *environment) build(out string, pkgs []pkg) error {
	slices.SortFunc(pkgs, func(a, b pkg) int {
		if a.priority != b.priority {
			return a.priority - b.priority
		}
		return strings.Compare(a.path, b.path)
	})
	for _, p := range pkgs {
		if !p.active {
			continue
		}
		if err := e.add(p.path, out, p.priority); err != nil {
			return err
		}
	}
	for priority := propagatedPriority; len(e.postponed) > 0; {
		batch := sortedKeys(e.postponed)
		e.postponed = map[string]bool{}
		for _, path := range batch {
			if err := e.add(path, out, priority); err != nil {
				return err
			}
			priority++
		}
	}
	return nil
}

// add links the files of one package and remembers which packages it wants to have beside it.
func (e *environment) add(path, out string, priority int) error {
	if e.done[path] {
		return nil
	}
	e.done[path] = true
	if err := e.link(path, out, priority); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(path, "nix-support", "propagated-user-env-packages"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read propagated packages: %w", err)
	}
	for _, other := range strings.FieldsFunc(string(text), func(r rune) bool { return r == ' ' || r == '\n' }) {
		if !e.done[other] {
			e.postponed[other] = true
		}
	}
	return nil
}

func sortedKeys(set map[string]bool) []string {
	var list []string
	for key := range set {
		list = append(list, key)
	}
	slices.Sort(list)
	return list
}
