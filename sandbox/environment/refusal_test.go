package environment

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"troupe/storage/storepath"
)

func plainRequest(t *testing.T) Request {
	return readGolden(t, "testdata/nix-2.34.8/plain.json").request(t)
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Request)
		want   string
	}{
		"graph of a path that is no input": {
			func(r *Request) { r.Inputs = func(storepath.Path) (bool, error) { return false, nil } },
			"because it is not in the input closure of the derivation",
		},
		"graph of a path that is not valid": {
			func(r *Request) {
				g := readGolden(t, "testdata/nix-2.34.8/plain.json")
				g.Paths = nil
				r.Store = store{g}
			},
			"is not valid",
		},
		"zero byte in a value":      {func(r *Request) { r.Derivation.Env["x"] = "a\x00b" }, "zero byte"},
		"zero byte in a name":       {func(r *Request) { r.Derivation.Env["\x00"] = "" }, "zero byte"},
		"zero byte in an argument":  {func(r *Request) { r.Derivation.Args = []string{"\x00"} }, "zero byte"},
		"attributes that are text":  {func(r *Request) { r.Derivation.Env = map[string]string{"__json": `"x"`} }, "structured attributes"},
		"attributes that are null":  {func(r *Request) { r.Derivation.Env = map[string]string{"__json": "null"} }, "structured attributes"},
		"attributes and more":       {func(r *Request) { r.Derivation.Env = map[string]string{"__json": "{} {}"} }, "structured attributes"},
		"graph outside of the room": {func(r *Request) { r.Options.ExportReferencesGraph = graphCalled(r, "a/../../x") }, "invalid file name 'a/../../x' in 'exportReferencesGraph'"},
		"graph in a file of ours":   {func(r *Request) { r.Options.ExportReferencesGraph = graphCalled(r, ".attrs.sh") }, "invalid file name"},
		"graph with a newline":      {func(r *Request) { r.Options.ExportReferencesGraph = graphCalled(r, "a\n") }, "invalid file name"},
		"graph called ..":           {func(r *Request) { r.Options.ExportReferencesGraph = graphCalled(r, "..") }, "invalid file name"},
	} {
		r := plainRequest(t)
		c.change(&r)
		if _, err := Make(r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// graphCalled gives the first graph another name.
func graphCalled(r *Request, name string) map[string][]storepath.Path {
	for _, roots := range r.Options.ExportReferencesGraph {
		return map[string][]storepath.Path{name: roots}
	}
	return nil
}

// failingStore has all paths and does not know what derivations make.
type failingStore struct{ store }

var errUnknown = errors.New("outputs are not known")

func (failingStore) DerivationOutputs(storepath.Path) ([]storepath.Path, error) {
	return nil, errUnknown
}

func TestGraphOfUnknownOutputs(t *testing.T) {
	g := readGolden(t, "testdata/nix-2.34.8/drvgraph.json")
	r := g.request(t)
	r.Store = failingStore{store{g}}
	if _, err := Make(r); !errors.Is(err, errUnknown) {
		t.Errorf("got %v", err)
	}
}

// TestRedirected builds to another path than the final one: both the placeholder and the final path's hash
// part lead there, in arguments, variables and files.
func TestRedirected(t *testing.T) {
	r := plainRequest(t)
	final := r.Outputs["out"].Scratch
	scratch, err := storepath.ParseBase(strings.Repeat("1", 32) + "-plain")
	if err != nil {
		t.Fatal(err)
	}
	r.Outputs = map[string]Output{"out": {Scratch: scratch, Final: final}}
	view, err := Make(r)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(view.Args, "\n") + strings.Join(view.Env, "\n")
	for _, file := range view.Files {
		text += file.Content
	}
	if strings.Contains(text, final.HashPart()) || strings.Contains(text, Placeholder("out")) {
		t.Errorf("the final path or the placeholder is still there: %s", text)
	}
	for _, want := range []string{"--out=" + dir.Join(scratch), "out=" + dir.Join(scratch), "place=x" + dir.Join(scratch) + "y", "body of " + dir.Join(scratch)} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not there", want)
		}
	}
}

// TestCollision has a variable aPath beside a file for a: the variable wins, every time.
func TestCollision(t *testing.T) {
	r := readGolden(t, "testdata/nix-2.34.8/collide.json").request(t)
	for range 100 {
		view, err := Make(r)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(view.Env, "aPath=own") {
			t.Fatalf("got %v", view.Env)
		}
	}
}

// TestPlaceholder has a value of builtins.placeholder in Nix 2.34.8.
func TestPlaceholder(t *testing.T) {
	if got := Placeholder("out"); got != "/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9" {
		t.Errorf("got %s", got)
	}
}
