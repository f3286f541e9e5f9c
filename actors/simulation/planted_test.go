package simulation_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlantedFaults changes the source of a machine as each file in
// testdata/planted says, and lets the same seeds as ever run on it: they must
// find it. Those that begin with "found" are bugs that seeds did find.
func TestPlantedFaults(t *testing.T) {
	if (os.Getenv("CI") == "" || raced) && os.Getenv("TROUPE_PLANT") == "" {
		t.Skip("faults are planted, which takes minutes, where CI or TROUPE_PLANT is set")
	}
	files, err := filepath.Glob("testdata/planted/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			program := compilePlanted(t, file)
			cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestSeeds$", "-test.v")
			cmd.Env = append(os.Environ(), "CI=", "TROUPE_SEEDS=20000")
			said, err := cmd.CombinedOutput()
			if err == nil {
				t.Errorf("20000 seeds did not find it:\n%s", said)
				return
			}
			for line := range strings.Lines(string(said)) {
				if strings.Contains(line, " runs, ") || strings.Contains(line, "seed ") {
					t.Log(strings.TrimSpace(line))
				}
			}
		})
	}
}

// compilePlanted compiles this package's tests with a change.
func compilePlanted(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for name, text := range plant(t, root, file) {
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
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// plant reads a file of changes and returns the changed sources. A change is
// "-- FILE --", the lines there are, "=>", and the lines there shall be.
func plant(t *testing.T, root, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	for _, change := range strings.Split("\n"+string(text), "\n-- ")[1:] {
		name, change, ok := strings.Cut(change, " --\n")
		old, now, ok2 := strings.Cut(change+"\n", "\n=>\n")
		if !ok || !ok2 {
			t.Fatalf("%s: not a change: %q", file, change)
		}
		if sources[name] == "" {
			source, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			sources[name] = string(source)
		}
		if n := strings.Count(sources[name], old); n != 1 {
			t.Fatalf("%s: what is to be changed in %s is there %d times", file, name, n)
		}
		sources[name] = strings.Replace(sources[name], old, strings.Trim(now, "\n"), 1)
	}
	return sources
}
