package builtin

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// nixBuild returns a function that runs nix-build, and the store directory that it has of its own.
func nixBuild(t *testing.T) (run func(args ...string) ([]byte, error), store string) {
	t.Helper()
	program, err := exec.LookPath("nix-build")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nix-build is missing")
		}
		t.Skip("nix-build is missing")
	}
	dir := t.TempDir()
	t.Cleanup(func() { makeWritable(t, dir) })
	writeFile(t, dir+"/etc/nix.conf", "sandbox = false\nbuild-users-group =\nsubstituters =\nsandbox-fallback = true\n")
	run = func(args ...string) ([]byte, error) {
		command := exec.Command(program, append([]string{"--no-out-link", "--keep-going"}, args...)...)
		command.Dir = dir
		command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "NIX_STORE_DIR=" + dir + "/store", "NIX_STATE_DIR=" + dir + "/var",
			"NIX_LOG_DIR=" + dir + "/log", "NIX_CONF_DIR=" + dir + "/etc", "NIX_REMOTE=", "TMPDIR=" + dir, "NIX_USER_CONF_FILES="}
		return command.CombinedOutput()
	}
	return run, dir + "/store"
}

// makeWritable lets a test's directory be removed: what is in a store is read-only.
func makeWritable(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// randomPackage makes a package of a few entries from a small set of names, so that packages collide.
func randomPackage(t *testing.T, r *rand.Rand, dir string, others []string) {
	t.Helper()
	names := []string{"bin", "lib", "share", "x", "y", "z"}
	var entries []string
	var taken []string
	for range 1 + r.IntN(6) {
		name := names[r.IntN(len(names))]
		for range r.IntN(3) {
			name += "/" + names[r.IntN(len(names))]
		}
		if slices.ContainsFunc(taken, func(other string) bool {
			return strings.HasPrefix(other+"/", name+"/") || strings.HasPrefix(name+"/", other+"/")
		}) {
			continue
		}
		taken = append(taken, name)
		switch r.IntN(6) {
		case 0:
			name += "/"
		case 1:
			if len(others) > 0 {
				name += " -> " + others[r.IntN(len(others))] + "/" + names[r.IntN(len(names))]
			}
		}
		entries = append(entries, name)
	}
	if len(others) > 0 && r.IntN(3) == 0 {
		entries = append(entries, "nix-support/propagated-user-env-packages = "+others[r.IntN(len(others))])
	}
	makePackage(t, dir, strings.Join(entries, "\n"))
}

// TestBuildEnvLikeNix gives random packages to the real builder and to ours: the same trees, and the same refusals.
func TestBuildEnvLikeNix(t *testing.T) {
	build, store := nixBuild(t)
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	const worlds = 60
	var lines [worlds]string
	var expression strings.Builder
	expression.WriteString("[\n")
	for w := range worlds {
		var packages []string
		for p := range 2 + r.IntN(4) {
			pkg := fmt.Sprintf("%s/w%d/p%d", dir, w, p)
			randomPackage(t, r, pkg, packages)
			packages = append(packages, pkg)
			lines[w] += fmt.Sprintf("%v %d 1 %s ", r.IntN(8) > 0, r.IntN(4)*p, pkg)
		}
		fmt.Fprintf(&expression, "(derivation { name = \"w%d\"; system = builtins.currentSystem; builder = \"builtin:buildenv\"; manifest = \"/m\"; derivations = %q; })\n", w, lines[w])
	}
	expression.WriteString("]\n")
	writeFile(t, dir+"/worlds.nix", expression.String())
	output, err := build(dir + "/worlds.nix")
	if err == nil {
		t.Error("no conflict in all the worlds: they show too little")
	}
	paths, err := filepath.Glob(store + "/*-w*")
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]string{}
	for _, path := range paths {
		_, name, _ := strings.Cut(filepath.Base(path), "-")
		if !strings.Contains(string(output), "-"+name+".drv' failed") {
			made[name] = path
		}
	}
	compareWorlds(t, dir, lines[:], made, string(output))
}

func compareWorlds(t *testing.T, dir string, lines []string, made map[string]string, output string) {
	t.Helper()
	built := 0
	for w, text := range lines {
		out := fmt.Sprintf("%s/w%d/out", dir, w)
		err := Run("buildenv", Input{Env: map[string]string{"derivations": text, "manifest": "/m"}, Outputs: map[string]string{"out": out}, Log: io.Discard})
		theirs, ok := made[fmt.Sprintf("w%d", w)]
		switch {
		case ok != (err == nil):
			t.Errorf("world %d (%s): Nix made it: %v; ours: %v", w, text, ok, err)
		case ok:
			built++
			if want, got := tree(t, theirs), tree(t, out); want != got {
				t.Errorf("world %d (%s):\nNix:\n%sours:\n%s", w, text, want, got)
			}
		}
	}
	if built < len(lines)/4 {
		t.Errorf("only %d of %d worlds could be built: they show too little\n%s", built, len(lines), output)
	}
}
