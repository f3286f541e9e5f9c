// Package environment makes what a builder finds when it starts: its variables, its arguments and the files in
// its build directory. Make is a pure function, held byte for byte against Nix 2.34.8. It is unaware of
// processes, sandboxes and the file system.
package environment

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"troupe/storage/derivation"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// Output says where a builder is to put an output, and where it will be in the end.
type Output struct {
	Scratch storepath.Path
	// Final is the zero value where the path depends on the contents.
	Final storepath.Path
}

// Request is all that an environment depends on.
type Request struct {
	Dir        storepath.Dir
	Derivation *derivation.Derivation
	Options    derivation.Options
	Outputs    map[string]Output
	// BuildDir is the build directory as the builder sees it.
	BuildDir string
	// Cores is what NIX_BUILD_CORES says; the caller has turned 0 into a number if it wants to.
	Cores uint
	// HostEnv reads a variable of the service for impureEnvVars; one that is not set is empty.
	HostEnv func(name string) string
	// Inputs says whether a path is in the closure of the derivation's inputs.
	Inputs func(storepath.Path) (bool, error)
	// Remote is the store that the builder may use, as a URL; "" is none.
	Remote string
	// Store is asked only where exportReferencesGraph is set.
	Store Store
}

// File is one file to be made in the build directory, owned by the builder. Name has no slash.
type File struct {
	Name, Content string
	Mode          fs.FileMode
}

// View is what the builder finds.
type View struct {
	// Builder is the program to execute.
	Builder string
	// Args are its arguments, the program's own name first.
	Args []string
	// Env has NAME=VALUE entries, sorted by name.
	Env []string
	// Files are sorted by name.
	Files []File
}

// Make computes the view. Its errors are the derivation's fault.
func Make(r Request) (View, error) {
	variables := map[string]string{
		"PATH":            "/path-not-set", // else most shells make one up
		"HOME":            "/homeless-shelter",
		"NIX_STORE":       string(r.Dir),
		"NIX_BUILD_CORES": strconv.FormatUint(uint64(r.Cores), 10),
	}
	files, err := addAttributes(r, variables)
	if err != nil {
		return View{}, err
	}
	for _, name := range []string{"NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP", "PWD"} {
		variables[name] = r.BuildDir
	}
	if r.Derivation.IsFixed() {
		variables["NIX_OUTPUT_CHECKED"] = "1"
	}
	if r.Derivation.IsFixed() || r.Derivation.IsImpure() {
		for _, name := range r.Options.ImpureEnvVars {
			variables[name] = r.HostEnv(name)
		}
	}
	if r.Remote != "" {
		variables["NIX_REMOTE"] = r.Remote
	}
	variables["NIX_LOG_FD"] = "2" // structured messages go where all else goes
	variables["TERM"] = "xterm-256color"
	return render(r, variables, files)
}

// render rewrites placeholders everywhere and sorts.
func render(r Request, variables, files map[string]string) (View, error) {
	rewrite := rewriter(r.Dir, r.Outputs)
	view := View{Builder: r.Derivation.Builder, Args: []string{path.Base(r.Derivation.Builder)}}
	for _, arg := range r.Derivation.Args {
		view.Args = append(view.Args, rewrite.Replace(arg))
	}
	for _, name := range sortedKeys(variables) {
		view.Env = append(view.Env, rewrite.Replace(name+"="+variables[name]))
	}
	for _, word := range slices.Concat(view.Args, view.Env) {
		if strings.IndexByte(word, 0) >= 0 {
			return View{}, fmt.Errorf("pass %.40q to the builder: it holds a zero byte", word)
		}
	}
	for _, name := range sortedKeys(files) {
		view.Files = append(view.Files, File{Name: name, Content: rewrite.Replace(files[name]), Mode: 0o644})
	}
	return view, nil
}

// graphName is what a file of exportReferencesGraph may be called: in particular nothing that leads elsewhere,
// and no name of a file that we make ourselves.
var graphName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// addAttributes adds the derivation's own variables and returns the texts of the files beside them.
func addAttributes(r Request, variables map[string]string) (files map[string]string, err error) {
	if text, ok := r.Derivation.StructuredAttrs(); ok {
		return addStructured(r, text, variables)
	}
	files = map[string]string{}
	for _, name := range sortedKeys(r.Derivation.Env) { // a variable called NAMEPath wins over the path of NAME
		if !slices.Contains(r.Options.PassAsFile, name) {
			variables[name] = r.Derivation.Env[name]
			continue
		}
		file := ".attr-" + nixhash.Sum(nixhash.SHA256, []byte(name)).Base32()
		variables[name+"Path"] = r.BuildDir + "/" + file
		files[file] = r.Derivation.Env[name]
	}
	for name, roots := range r.Options.ExportReferencesGraph {
		if !graphName.MatchString(name) {
			return nil, fmt.Errorf("invalid file name '%s' in 'exportReferencesGraph'", name)
		}
		g, err := exportReferences(r, roots)
		if err != nil {
			return nil, err
		}
		files[name] = g.registration(r.Dir)
	}
	return files, nil
}

// addStructured puts all attributes into two files; the environment only says where they are.
func addStructured(r Request, text string, variables map[string]string) (files map[string]string, err error) {
	attributes, err := parseAttributes(text)
	if err != nil {
		return nil, err
	}
	outputs := map[string]any{}
	for name := range r.Outputs {
		outputs[name] = Placeholder(name)
	}
	attributes["outputs"] = outputs
	for name, roots := range r.Options.ExportReferencesGraph {
		g, err := exportReferences(r, roots)
		if err != nil {
			return nil, err
		}
		attributes[name] = g.attributes(r.Dir)
	}
	variables["NIX_ATTRS_SH_FILE"] = r.BuildDir + "/.attrs.sh"
	variables["NIX_ATTRS_JSON_FILE"] = r.BuildDir + "/.attrs.json"
	var b bytes.Buffer
	appendJSON(&b, attributes)
	return map[string]string{".attrs.sh": shellText(attributes), ".attrs.json": b.String()}, nil
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
