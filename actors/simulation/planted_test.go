package simulation_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"troupe/actors/simulation"
)

// TestPlantedFaults changes the source of a machine as each file in
// testdata/planted says, and lets the same seeds as ever run on it: they must
// find it. Those that begin with "found" are bugs that seeds did find.
//
// A file begins with the seed that found it last, which is tried before the first
// seeds are. TROUPE_PLANT=all plants all of them, and TROUPE_PLANT=seeds looks for the
// first seed that finds each, and notes it; else it is every third, as to compile
// each takes seconds.
func TestPlantedFaults(t *testing.T) {
	how := os.Getenv("TROUPE_PLANT")
	if (os.Getenv("CI") == "" || raced) && how == "" {
		t.Skip("faults are planted, which takes minutes, where CI or TROUPE_PLANT is set")
	}
	files, err := filepath.Glob("testdata/planted/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for i, file := range files {
		if how == "" && i%3 > 0 {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			p := readPlanted(t, file)
			if how == "seeds" {
				p.seed = 1
			}
			found := p.find(t)
			if how == "seeds" && found > 0 {
				if err := os.WriteFile(file, []byte(fmt.Sprintf("seed %d\n%s", found, p.text)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestPlantedTexts: each fault can be planted in the source as it is now.
func TestPlantedTexts(t *testing.T) {
	files, err := filepath.Glob("testdata/planted/*")
	root, err2 := filepath.Abs("../..")
	if err != nil || err2 != nil || len(files) == 0 {
		t.Fatal(files, err, err2)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { readPlanted(t, file).plant(t, root) })
	}
}

// enoughToFind seeds find every planted fault.
const enoughToFind = 20_000

// TestFind is run in programs that have a fault planted.
func TestFind(t *testing.T) {
	first, err := strconv.ParseUint(os.Getenv("TROUPE_FIND"), 10, 64)
	if err != nil {
		t.Skip("TestPlantedFaults runs it")
	}
	for _, c := range []simulation.Campaign{{First: first, Last: first}, {First: 1, Last: enoughToFind}} {
		c.Faults, c.AsIs = simulation.Usual(), true
		if got := c.Run(t.Context()); len(got.Failures) > 0 {
			t.Fatalf("seed %d\n%d runs: %v", got.Failures[0].Seed, got.Runs, got.Failures[0])
		}
	}
}

// planted is a fault: the seed to try first, and the changes as they are written.
type planted struct {
	name string
	seed uint64
	text string
}

func readPlanted(t *testing.T, file string) planted {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := planted{name: file, text: string(text)}
	first, rest, _ := strings.Cut(p.text, "\n")
	if number, ok := strings.CutPrefix(first, "seed "); ok {
		if p.seed, err = strconv.ParseUint(number, 10, 64); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		p.text = rest
	}
	return p
}

// find lets seeds find a fault, and returns the one that did.
func (p planted) find(t *testing.T) uint64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.compile(t), "-test.run=^TestFind$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("TROUPE_FIND=%d", max(p.seed, 1)))
	said, err := cmd.CombinedOutput()
	_, after, found := strings.Cut(string(said), " seed ")
	var seed uint64
	if _, scanned := fmt.Sscan(after, &seed); err == nil || !found || scanned != nil {
		t.Errorf("%d seeds did not find it:\n%s", enoughToFind, said)
		return 0
	}
	t.Logf("found by seed %s", strings.TrimSpace(after[:strings.Index(after+"\n---", "\n---")]))
	return seed
}

// compile compiles this package's tests with the fault, and this package as
// fast as can be: it is compiled anew for each, and runs a few seeds.
func (p planted) compile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for name, text := range p.plant(t, root) {
		changed := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(changed, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, name)] = changed
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "simulation.test")
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-gcflags=-N -l", "-ldflags=-s -w",
		"-overlay", filepath.Join(dir, "overlay.json"), "-o", program, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// plant returns the changed sources. A change is "-- FILE --", the lines there are,
// "=>", and the lines there shall be.
func (p planted) plant(t *testing.T, root string) map[string]string {
	t.Helper()
	sources := map[string]string{}
	for _, change := range strings.Split("\n"+p.text, "\n-- ")[1:] {
		name, change, ok := strings.Cut(change, " --\n")
		old, now, ok2 := strings.Cut(change+"\n", "\n=>\n")
		if !ok || !ok2 {
			t.Fatalf("%s: not a change: %q", p.name, change)
		}
		if sources[name] == "" {
			source, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			sources[name] = string(source)
		}
		if n := strings.Count(sources[name], old); n != 1 {
			t.Fatalf("%s: what is to be changed in %s is there %d times", p.name, name, n)
		}
		sources[name] = strings.Replace(sources[name], old, strings.Trim(now, "\n"), 1)
	}
	return sources
}
