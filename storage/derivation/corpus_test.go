package derivation_test

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

// drvFile is one file of testdata/nixpkgs.tar.zst: 733 derivations of nixpkgs
// 26.11 as nix-instantiate 2.34 wrote them, a set closed under inputs, inputs
// first.
type drvFile struct {
	name string
	data []byte
}

func corpus(t testing.TB) (files []drvFile) {
	t.Helper()
	f, err := os.Open("testdata/nixpkgs.tar.zst")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, drvFile{h.Name, data})
	}
}

// check runs a checker over files and returns what it finds wrong.
func check(files []drvFile) (good int, wrong []string) {
	c := derivation.NewChecker("", func(name string, err error) { wrong = append(wrong, name+": "+err.Error()) })
	for _, f := range files {
		c.Add(f.name, f.data)
	}
	return c.Finish(), wrong
}

// Real derivations parse, print back, and have the paths that are computed, in
// whatever order they come.
func TestCorpus(t *testing.T) {
	files := corpus(t)
	for _, order := range []string{"inputs first", "inputs last"} {
		if good, wrong := check(files); good != 733 || len(wrong) > 0 {
			t.Errorf("%s: %d are right; wrong: %.500q", order, good, wrong)
		}
		slices.Reverse(files)
	}
}

func TestCheckerFindsFaults(t *testing.T) {
	files := corpus(t)
	last := len(files) - 1
	top := files[last]
	for what, change := range map[string]func() []drvFile{
		"should be called": func() []drvFile { // another platform: the file is another, and so are its outputs
			return replace(files, last, strings.Replace(string(top.data), "x86_64-linux", "x86_65-linux", 1))
		},
		"is not among the files": func() []drvFile { return files[1:] },
		"parse derivation":       func() []drvFile { return replace(files, last, string(top.data[:len(top.data)/2])) },
		"not a valid store path": func() []drvFile { return []drvFile{{"x.drv", top.data}} },
	} {
		if _, wrong := check(change()); len(wrong) == 0 || !strings.Contains(wrong[0], what) {
			t.Errorf("%s: found %.300q", what, wrong)
		}
	}
}

func replace(files []drvFile, i int, text string) []drvFile {
	files = slices.Clone(files)
	files[i] = drvFile{files[i].name, []byte(text)}
	return files
}

// What is shown as JSON is read back as the same derivation.
func TestJSONRoundTrip(t *testing.T) {
	for _, f := range corpus(t) {
		p, err := storepath.ParseBase(f.name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := derivation.Parse("/nix/store", strings.TrimSuffix(p.Name(), ".drv"), f.data)
		if err != nil {
			t.Fatal(err)
		}
		text, err := d.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := derivation.ParseJSON("/nix/store", text, nil)
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		if string(back.Print("/nix/store")) != string(f.data) {
			t.Errorf("%s is not the same after JSON", f.name)
		}
	}
}

// A cut is refused: anywhere in a derivation of 2,661 bytes, and here and there in
// the largest, as each cut is parsed from the start.
func TestCorpusCut(t *testing.T) {
	files := corpus(t)
	cut := func(f drvFile, step int) {
		for n := 0; n < len(f.data); n += step {
			if _, err := derivation.Parse("/nix/store", "x", f.data[:n]); err == nil {
				t.Fatalf("%s is accepted when cut at %d", f.name, n)
			}
		}
	}
	cut(files[len(files)-4], 1)
	cut(files[len(files)-1], 97)
}

func BenchmarkCheck(b *testing.B) {
	files := corpus(b)
	for b.Loop() {
		if good, wrong := check(files); good != len(files) {
			b.Fatal(fmt.Sprint(wrong))
		}
	}
}

// testdata/show/nix-2.34.8.json is what "nix derivation show -r" of Nix 2.34.8
// prints for the derivations beside it.
func TestShowLikeNix(t *testing.T) {
	names, err := filepath.Glob("testdata/show/*.drv")
	if err != nil || len(names) != 3 {
		t.Fatal(names, err)
	}
	var got strings.Builder
	err = derivation.WriteJSON(&got, func(yield func(storepath.Path, *derivation.Derivation) bool) {
		for _, name := range names {
			p, err := storepath.ParseBase(filepath.Base(name))
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			d, err := derivation.Parse("/nix/store", strings.TrimSuffix(p.Name(), ".drv"), data)
			if err != nil {
				t.Fatal(err)
			}
			if !yield(p, d) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/show/nix-2.34.8.json")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nNix prints\n%s", got.String(), want)
	}
}
