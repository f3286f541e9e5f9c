package derivation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"troupe/storage/storepath"
)

// recorded is what Nix 2.34.8 wrote down when it built the derivations of
// testdata/content-addressed: those that were asked for, and those that these
// resolved to. The file realisations has HASH|OUTPUT|PATH|CONTENT ADDRESS a line.
type recorded struct {
	dir   storepath.Dir
	drvs  map[storepath.Path]*Derivation
	paths map[string]storepath.Path // by HASH|OUTPUT
}

func readRecorded(t *testing.T) recorded {
	t.Helper()
	r := recorded{"/tmp/g/store", map[storepath.Path]*Derivation{}, map[string]storepath.Path{}}
	files, err := filepath.Glob("testdata/content-addressed/*.drv")
	if err != nil || len(files) == 0 {
		t.Fatalf("no derivations: %v", err)
	}
	for _, f := range files {
		p, err := storepath.ParseBase(filepath.Base(f))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if r.drvs[p], err = Parse(r.dir, strings.TrimSuffix(p.Name(), ".drv"), text); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("testdata/content-addressed/realisations")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(line, "|")
		if r.paths[f[0]+"|"+f[1]], err = r.dir.Parse(f[2]); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r recorded) modulo(p storepath.Path) (ModuloHash, error) {
	return r.drvs[p].Modulo(r.dir, r.modulo)
}

// output is where Nix put an output.
func (r recorded) output(drv storepath.Path, name string) (storepath.Path, bool) {
	h, err := r.drvs[drv].OutputHash(r.dir, r.modulo)
	p, ok := r.paths["sha256:"+h.Hash.Base16()+"|"+name]
	return p, ok && err == nil
}

func TestOutputHashesAreThoseOfNix(t *testing.T) {
	r := readRecorded(t)
	used := map[string]bool{}
	for p, d := range r.drvs {
		h, err := d.OutputHash(r.dir, r.modulo)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range d.Outputs {
			key := "sha256:" + h.Hash.Base16() + "|" + o.Name
			if _, ok := r.paths[key]; !ok && d.Name != "fixed" { // which did not come to its hash
				t.Errorf("%v: Nix has no realisation of %s", p, key)
			}
			used[key] = true
		}
	}
	for key := range r.paths {
		if !used[key] {
			t.Errorf("%s is of no derivation", key)
		}
	}
}

func TestResolutionIsThatOfNix(t *testing.T) {
	r := readRecorded(t)
	resolved := map[string]int{}
	for p, d := range r.drvs {
		if !d.MustResolve() {
			continue
		}
		got, err := d.Resolve(r.dir, r.output)
		if err != nil {
			t.Errorf("%v: %v", p, err)
			continue
		}
		at, err := got.Path(r.dir)
		if err != nil {
			t.Fatal(err)
		}
		if want := r.drvs[at]; want == nil {
			t.Errorf("%v resolves to what Nix has not built:\n%s", p, got.Print(r.dir))
		} else if len(got.Inputs) > 0 || got.MustResolve() || at == p {
			t.Errorf("%v resolves to %v, which is not resolved", p, at)
		}
		if err := got.Verify(r.dir, nil); err != nil {
			t.Errorf("%v: %v", at, err)
		}
		resolved[d.Name]++
	}
	for name, n := range map[string]int{"plain": 0, "flat": 0, "root": 2, "dependent": 1, "deferred": 1, "structured": 1, "text": 1, "fixed": 1} {
		if resolved[name] != n {
			t.Errorf("%d derivations called %s were resolved, not %d", resolved[name], name, n)
		}
	}
}

func TestResolveAsksForEachOutput(t *testing.T) {
	r := readRecorded(t)
	for _, d := range r.drvs {
		if d.Name == "dependent" && len(d.Inputs) > 0 {
			_, err := d.Resolve(r.dir, func(drv storepath.Path, name string) (storepath.Path, bool) {
				p, _ := r.output(drv, name)
				return p, name != "foo"
			})
			if err == nil || !strings.Contains(err.Error(), "output 'foo' of '/tmp/g/store/") {
				t.Errorf("without an output: %v", err)
			}
		}
	}
}

// What is built with something whose path is not known must not claim to know its
// own.
func TestVerifyRefusesWhatShouldBeDeferred(t *testing.T) {
	r := readRecorded(t)
	for _, d := range r.drvs {
		if d.Name != "deferred" || len(d.Inputs) == 0 {
			continue
		}
		if err := d.Verify(r.dir, r.modulo); err != nil {
			t.Errorf("as it is: %v", err)
		}
		for i := range d.Outputs {
			d.Outputs[i].Kind, d.Outputs[i].Path = InputAddressed, r.paths["sha256:55505896a7c02f87e827a159b544bd549c35fd15df00be8fb38d43e2f301ba40|out"]
		}
		if err := d.Verify(r.dir, r.modulo); err == nil || !strings.HasSuffix(err.Error(), "should be deferred") {
			t.Errorf("with a path: %v", err)
		}
	}
}
