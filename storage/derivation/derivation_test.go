package derivation

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

const dynamic = `DrvWithVersion("xp-dyn-drv",[("out","","r:sha256","")],[("/nix/store/j76if9fyh6aw41qvc8nqr9c8ha4azayn-a.drv",([],[("out",["x"])]))],[],"s","b",[],[])`

func TestKindsPrintBackAndAreNamed(t *testing.T) {
	for name, text := range map[string]string{
		"floating content-addressed": `Derive([("out","","r:sha256","")],[],[],"s","b",[],[])`,
		"deferred":                   `Derive([("out","","","")],[],[],"s","b",[],[])`,
		"impure":                     `Derive([("out","","r:sha256","impure")],[],[],"s","b",[],[])`,
	} {
		d, err := Parse("/nix/store", "x", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(d.Print("/nix/store")); got != text {
			t.Errorf("%s prints as %s", name, got)
		}
		if got := d.Outputs[0].Kind.String(); got != name || d.KnowsOutputs() {
			t.Errorf("%s is %s, and knows its outputs: %v", name, got, d.KnowsOutputs())
		}
	}
	d, err := Parse("/nix/store", "x", []byte(dynamic))
	if err != nil {
		t.Fatal(err)
	}
	d.Outputs[0].Kind = InputAddressed // so that only the input is left to refuse
	if err := d.Supported(); err == nil || !strings.HasPrefix(err.Error(), "dynamic ") {
		t.Errorf("dynamic: %v", err)
	}
	for i := range dynamic {
		if _, err := Parse("/nix/store", "x", []byte(dynamic[:i])); err == nil {
			t.Errorf("cut at %d: no error", i)
		}
	}
}

func TestJSONLeavesLineSeparators(t *testing.T) {
	d := &Derivation{Name: "x", Env: map[string]string{"a": "\u2028\u2029", "b": `\u2028`}}
	text, err := d.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if want := []byte("{\"a\":\"\u2028\u2029\",\"b\":\"\\\\u2028\"}"); !bytes.Contains(text, want) {
		t.Errorf("%s lacks %s", text, want)
	}
}

func TestOptionWords(t *testing.T) {
	inside := "/nix/store/j76if9fyh6aw41qvc8nqr9c8ha4azayn-a/bin"
	d := &Derivation{Outputs: []Output{{Name: "out"}}, Env: map[string]string{"allowedReferences": inside, "passAsFile": "a\vb \t\r\nc"}}
	o, err := d.Options("/nix/store")
	if err != nil {
		t.Fatal(err)
	}
	if refs := o.Rules["out"].AllowedReferences; len(refs) != 1 || refs[0].Output != inside {
		t.Errorf("references: %v", refs)
	}
	if !slices.Equal(o.PassAsFile, []string{"a\vb", "c"}) {
		t.Errorf("words: %q", o.PassAsFile)
	}
	const p = "/nix/store/j76if9fyh6aw41qvc8nqr9c8ha4azayn-"
	d.Env = map[string]string{"exportReferencesGraph": "g " + p + "a g " + p + "b"}
	if o, err := d.Options("/nix/store"); err != nil || len(o.ExportReferencesGraph["g"]) != 1 || o.ExportReferencesGraph["g"][0].Name() != "b" {
		t.Errorf("a name twice: %v, %v", o.ExportReferencesGraph, err)
	}
	d.Env = map[string]string{structuredKey: `{"exportReferencesGraph":["x"]}`}
	if o, err := d.Options("/nix/store"); err != nil || o.ExportReferencesGraph != nil || len(o.Warnings) != 1 {
		t.Errorf("no object: %v, %v, %v", o.ExportReferencesGraph, o.Warnings, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(dynamic))
	f.Fuzz(func(t *testing.T, text []byte) {
		if d, err := Parse("/nix/store", "x", text); err == nil && !bytes.Equal(d.Print("/nix/store"), text) {
			t.Error("prints otherwise")
		}
	})
}
