// Package docs_test holds the documentation against the code.
package docs_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "troupe"

// governed lists the libraries whose use the table rules on.
var governed = []string{"github.com/asynkron/protoactor-go", "github.com/cockroachdb/pebble/v2", "golang.org/x/sys/unix", "modernc.org/sqlite"}

// row is one line of the import table.
type row struct {
	from string
	to   []string
}

// TestImports holds the import table of ARCHITECTURE.md against the code, both
// ways: every import is in the table and nothing in the table has gone stale.
func TestImports(t *testing.T) {
	md, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	table, err := parseTable(string(md))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults(table, imports(t)) {
		t.Error(fault)
	}
}

// TestFaults shows that the check above finds what it is for.
func TestFaults(t *testing.T) {
	table := []row{{"a", []string{"b/*"}}, {"b/*", nil}, {"b/c", []string{"a"}}}
	for _, c := range []struct {
		name string
		used map[string][]string
		want []string
	}{
		{"as allowed", map[string][]string{"a": {"b/x"}, "b/x": nil, "b/c": {"a"}}, nil},
		{"forbidden", map[string][]string{"a": {"b", "z"}, "b/x": nil, "b/c": {"a"}},
			[]string{"a imports z, which ARCHITECTURE.md does not allow"}},
		{"narrow row first", map[string][]string{"a": {"b"}, "b/x": {"a"}, "b/c": {"a"}},
			[]string{"b/x imports a, which ARCHITECTURE.md does not allow"}},
		{"stale", map[string][]string{"a": {"b"}, "b/x": nil, "b/c": nil},
			[]string{"ARCHITECTURE.md lets b/c import a, which it does not"}},
		{"gone", map[string][]string{"a": {"b"}, "b/x": nil},
			[]string{"ARCHITECTURE.md has a row b/c, for which there is no package"}},
		{"no row", map[string][]string{"a": {"b"}, "b/x": nil, "b/c": {"a"}, "d": nil},
			[]string{"package d has no row in ARCHITECTURE.md"}},
	} {
		if got := faults(table, c.used); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// faults compares the table with the imports of each package.
func faults(table []row, used map[string][]string) (found []string) {
	seen := map[string]map[string]bool{} // row -> the cells of it that are used
	froms := make([]string, 0, len(used))
	for from := range used {
		froms = append(froms, from)
	}
	slices.Sort(froms)
	for _, from := range froms {
		r, ok := rowOf(table, from)
		if !ok {
			found = append(found, "package "+from+" has no row in ARCHITECTURE.md")
			continue
		}
		if seen[r.from] == nil {
			seen[r.from] = map[string]bool{}
		}
		for _, to := range used[from] {
			i := slices.IndexFunc(r.to, func(cell string) bool { return covers(cell, to) })
			if i < 0 {
				found = append(found, from+" imports "+to+", which ARCHITECTURE.md does not allow")
				continue
			}
			seen[r.from][r.to[i]] = true
		}
	}
	return append(found, stale(table, seen)...)
}

func stale(table []row, seen map[string]map[string]bool) (found []string) {
	for _, r := range table {
		if seen[r.from] == nil {
			found = append(found, "ARCHITECTURE.md has a row "+r.from+", for which there is no package")
			continue
		}
		for _, cell := range r.to {
			if !seen[r.from][cell] {
				found = append(found, "ARCHITECTURE.md lets "+r.from+" import "+cell+", which it does not")
			}
		}
	}
	return found
}

// rowOf finds the narrowest row for a package.
func rowOf(table []row, pkg string) (best row, ok bool) {
	for _, r := range table {
		if covers(r.from, pkg) && (!ok || r.from == pkg || best.from != pkg && len(r.from) > len(best.from)) {
			best, ok = r, true
		}
	}
	return best, ok
}

// covers says whether a cell means a package. "x/*" is x and all below it.
func covers(cell, pkg string) bool {
	prefix, wild := strings.CutSuffix(cell, "/*")
	return pkg == prefix || wild && strings.HasPrefix(pkg, prefix+"/")
}

func parseTable(md string) (table []row, err error) {
	_, rest, ok := strings.Cut(md, "```imports\n")
	block, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		return nil, errors.New("read ARCHITECTURE.md: no ```imports block")
	}
	for line := range strings.Lines(block) {
		from, to, ok := strings.Cut(line, " : ")
		if !ok {
			from, ok = strings.CutSuffix(strings.TrimSpace(line), " :")
		}
		if !ok {
			return nil, errors.New("read ARCHITECTURE.md: not a row: " + line)
		}
		table = append(table, row{strings.TrimSpace(from), strings.Fields(to)})
	}
	return table, nil
}

// imports maps each package to what the table rules on among its imports.
// Imports of tests are left out.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string][]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath       string
			Imports, GoFiles []string
		}
		if err := dec.Decode(&p); err == io.EOF {
			return used
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) == 0 {
			continue
		}
		from := strings.TrimPrefix(p.ImportPath, module+"/")
		used[from] = nil
		for _, imp := range p.Imports {
			if to, ours := ruled(imp); ours {
				used[from] = append(used[from], to)
			}
		}
	}
}

// ruled names an import as the table does, or says that it is none of ours.
func ruled(imp string) (string, bool) {
	if to, ours := strings.CutPrefix(imp, module+"/"); ours {
		return to, true
	}
	for _, library := range governed {
		if imp == library || strings.HasPrefix(imp, library+"/") {
			return library, true
		}
	}
	return "", false
}
