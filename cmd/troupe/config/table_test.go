package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// golden is one line of testdata/nix-2.34.8-settings.tsv, what Nix says of a setting.
type golden struct {
	name, byDefault string
	aliases         []string
	extends         bool
}

func readGolden(t *testing.T) []golden {
	t.Helper()
	text, err := os.ReadFile("testdata/nix-2.34.8-settings.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var list []golden
	for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cells := append(strings.Split(line, "\t"), "", "", "")
		list = append(list, golden{cells[0], cells[3], strings.Fields(cells[1]), cells[2] == "extra"})
	}
	return list
}

func TestTableIsThatOfNix(t *testing.T) {
	var want, got []string
	for _, g := range readGolden(t) {
		want = append(want, fmt.Sprint(g.name, g.aliases, g.extends))
	}
	for _, r := range Table() {
		if r.Status == Own {
			continue
		}
		got = append(got, fmt.Sprint(r.Name, r.Aliases, r.Extends))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		for _, s := range want {
			if !slices.Contains(got, s) {
				t.Errorf("only in Nix: %s", s)
			}
		}
		for _, s := range got {
			if !slices.Contains(want, s) {
				t.Errorf("only here: %s", s)
			}
		}
	}
}

// TestDefaultsAreThoseOfNix gives each setting the text that Nix prints for its default: nothing may change.
func TestDefaultsAreThoseOfNix(t *testing.T) {
	// Of the machine and the package on which the golden was made, or not in effect without a feature.
	local := []string{"build-hook", "extra-platforms", "sandbox-paths", "ssl-cert-file", "system-features", "impure-env",
		"experimental-features"}
	const ours = "use-cgroups" // whose default here is a third value
	for _, g := range readGolden(t) {
		if slices.Contains(local, g.name) || g.name == ours {
			continue
		}
		s := Defaults(host, "/etc/nix-none")
		start := s
		if err := s.Set(g.name, g.byDefault); err != nil {
			t.Errorf("default of %s: %v", g.name, err)
		}
		if unmet := s.Unmet(); len(unmet) > 0 {
			t.Errorf("the default of %s is not ours", g.name)
		}
		s.unmet = nil
		if !reflect.DeepEqual(start, s) {
			t.Errorf("the default of %s is not ours:\n%+v\n%+v", g.name, start, s)
		}
	}
}

var docLine = regexp.MustCompile("^\\| `([^`]+)` \\| ([a-z ]+) \\|")

// TestDocumentation holds docs/settings.md against the table, both ways.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if m := docLine.FindStringSubmatch(line); m != nil {
			documented[m[1]] = m[2]
		}
	}
	for _, r := range Table() {
		if documented[r.Name] != string(r.Status) {
			t.Errorf("docs/settings.md: %s is %q there and %q in the code", r.Name, documented[r.Name], r.Status)
		}
		delete(documented, r.Name)
	}
	for name := range documented {
		t.Errorf("docs/settings.md: %s is not in the code", name)
	}
}

func TestCopiesAreIndependent(t *testing.T) {
	base := Defaults(host, "/etc/nix")
	if err := base.Set("use-case-hack", "true"); err != nil {
		t.Fatal(err)
	}
	session := base
	for name, value := range map[string]string{"extra-system-features": "x", "extra-substituters": "y", "extra-sandbox-paths": "/z",
		"extra-impure-env": "A=b", "use-sqlite-wal": "false"} {
		if err := session.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Contains(base.SystemFeatures, "x") || slices.Contains(base.Substituters, "y") || len(base.SandboxPaths) > 0 ||
		len(base.ImpureEnv) > 0 || !slices.Equal(base.Unmet(), []string{"use-case-hack"}) {
		t.Errorf("the original changed with the copy: %+v", base)
	}
}

// TestSiblingsAreIndependent extends two copies of one base: a shared spare place in a list would show.
func TestSiblingsAreIndependent(t *testing.T) {
	base := Defaults(host, "/etc/nix")
	for _, name := range []string{"a", "b", "c", "d"} {
		if err := base.Set("extra-substituters", name); err != nil {
			t.Fatal(err)
		}
	}
	one, two := base, base
	if err := errors.Join(one.Set("extra-substituters", "one"), two.Set("extra-substituters", "two")); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(one.Substituters, "one") || slices.Contains(one.Substituters, "two") {
		t.Errorf("one has %v", one.Substituters)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "a = b", "a = b # c\n\n x =", "include x", "!include /nonexistent/y\nk = v", "a=b", "extra-sandbox-paths = /a=/b? /c",
		"max-jobs = auto\ncores = 3K\nimpure-env = a=b c"} {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parse(text, dir+"/nix.conf", nil)
		if err != nil {
			return
		}
		s := Defaults(host, dir)
		for _, a := range list {
			if a.name == "" || strings.ContainsAny(a.name+a.value, "#\n\t\r") || a.value != strings.Join(words(a.value), " ") {
				t.Fatalf("%q became %+v", text, a)
			}
			before := s
			if err := s.Set(a.name, a.value); err != nil && !reflect.DeepEqual(before, s) {
				t.Fatalf("%q failed and changed the settings", text)
			}
		}
	})
}
