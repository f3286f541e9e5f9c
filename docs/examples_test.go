package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamplesAreInstantiated holds the .drv files of the examples against what
// the real nix-instantiate makes of the expressions beside them.
func TestExamplesAreInstantiated(t *testing.T) {
	if _, err := exec.LookPath("nix-instantiate"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nix-instantiate is missing")
		}
		t.Skip("nix-instantiate is missing")
	}
	for _, expression := range []string{"go-tools/graph.nix", "hello/hello.nix"} {
		root := t.TempDir()
		cmd := exec.Command("nix-instantiate", "--store", root, filepath.Join("examples", expression))
		cmd.Env = append(os.Environ(), "NIX_REMOTE=", "HOME="+root, "NIX_CONF_DIR="+root)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		compareFolders(t, filepath.Join("examples", filepath.Dir(expression)), filepath.Join(root, "nix/store"))
	}
}

// compareFolders fails for a store object that is in only one of two folders,
// or differs. Names without a hash part are no store objects.
func compareFolders(t *testing.T, ours, real string) {
	t.Helper()
	have, want := storeObjects(t, ours), storeObjects(t, real)
	for name, text := range want {
		if have[name] != text {
			t.Errorf("%s is not in %s as Nix makes it; instantiate again", name, ours)
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			t.Errorf("%s/%s is not made by Nix any more", ours, name)
		}
	}
}

func storeObjects(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, e := range entries {
		if hash, _, ok := strings.Cut(e.Name(), "-"); !ok || len(hash) != 32 || e.IsDir() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		texts[e.Name()] = string(text)
	}
	return texts
}
