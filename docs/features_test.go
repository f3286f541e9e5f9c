package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFeatures holds features.md against the tests: every feature has its row,
// and every row names tests that exist, unless it says that it is open.
func TestFeatures(t *testing.T) {
	md, err := os.ReadFile("features.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range featureFaults(string(md), featureIDs(), testNames(t)) {
		t.Error(fault)
	}
}

// TestFeatureFaults shows that the check above finds what it is for.
func TestFeatureFaults(t *testing.T) {
	const md = "| id | feature | where | tests | state |\n|---|---|---|---|---|\n" +
		"| A1 | x | `a` | `TestA` | done |\n| A2 | x | — | — | open |\n| A3 | x | `a` | — | done |\n| A4 | x | `a` | `TestGone` | done |\n" +
		"| A4 | x | `a` | `TestA` | done |\n| B1 | x | `a` | `TestA` | maybe |\n"
	want := []string{
		"A3: done without a test",
		"A4: test TestGone does not exist",
		"A4: has two rows",
		"B1: state maybe is neither done nor open",
		"B1: not a feature",
		"A5: has no row",
	}
	got := featureFaults(md, []string{"A1", "A2", "A3", "A4", "A5"}, map[string]bool{"TestA": true})
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// featureFaults reads rows "| id | feature | where | tests | state |".
func featureFaults(md string, ids []string, tests map[string]bool) (found []string) {
	seen := map[string]bool{}
	for line := range strings.Lines(md) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		id := strings.TrimSpace(cells[0])
		if len(cells) != 5 || !featureID.MatchString(id) {
			continue
		}
		report := func(format string, args ...any) { found = append(found, id+": "+fmt.Sprintf(format, args...)) }
		if seen[id] {
			report("has two rows")
		}
		seen[id] = true
		named := testName.FindAllString(cells[3], -1)
		state := strings.TrimSpace(cells[4])
		if state != "done" && state != "open" {
			report("state %s is neither done nor open", state)
		}
		if len(named) == 0 && state != "open" {
			report("done without a test")
		}
		for _, name := range named {
			if !tests[name] {
				report("test %s does not exist", name)
			}
		}
		if !slices.Contains(ids, id) {
			report("not a feature")
		}
	}
	for _, id := range ids {
		if !seen[id] {
			found = append(found, id+": has no row")
		}
	}
	return found
}

var (
	featureID = regexp.MustCompile(`^[A-Z][0-9]+$`)
	testName  = regexp.MustCompile(`\b(Test|Fuzz|Benchmark)[A-Z]\w*`)
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
)

// featureIDs lists every feature that must have a row.
func featureIDs() (ids []string) {
	for _, group := range []struct {
		letter string
		count  int
	}{{"G", 8}, {"C", 6}, {"U", 4}, {"D", 18}, {"H", 4}, {"S", 5}, {"T", 5}, {"E", 2}, {"V", 4}, {"F", 5}} {
		for n := 1; n <= group.count; n++ {
			ids = append(ids, fmt.Sprintf("%s%d", group.letter, n))
		}
	}
	return ids
}

// testNames finds the tests of every package.
func testNames(t *testing.T) map[string]bool {
	names := map[string]bool{}
	for _, path := range files(t) {
		if !strings.HasSuffix(path, "_test.go") || filepath.Dir(path) == "." {
			continue
		}
		for _, match := range testFunc.FindAllStringSubmatch(string(read(t, path)), -1) {
			names[match[1]] = true
		}
	}
	return names
}
