package environment

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"troupe/storage/derivation"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

const dir = storepath.Dir("/nix/store")

// golden is one file of testdata/nix-2.34.8: a derivation, the valid paths that it could ask about, and what its builder
// found. All paths are absolute.
type golden struct {
	Name, Drv, BuildDir string
	Scratch             map[string]string
	Env, Args           []string
	Files               map[string]string
	Paths               map[string]struct {
		NarHash    string
		NarSize    uint64
		References []string
		CA         string
	}
	DerivationOutputs map[string][]string
}

func readGolden(t *testing.T, file string) golden {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// PathInfo and DerivationOutputs make a golden the store of its derivation.
func (g golden) PathInfo(p storepath.Path) (PathInfo, error) {
	entry, ok := g.Paths[dir.Join(p)]
	if !ok {
		return PathInfo{}, fmt.Errorf("path '%s' is not valid", dir.Join(p))
	}
	hash, err := nixhash.Parse(entry.NarHash, 0)
	info := PathInfo{NarHash: hash, NarSize: entry.NarSize, CA: entry.CA}
	for _, reference := range entry.References {
		info.References = append(info.References, mustPath(reference))
	}
	return info, err
}

func mustPath(text string) storepath.Path {
	p, err := dir.Parse(text)
	if err != nil {
		panic(err)
	}
	return p
}

// store gives the golden the method that its field's name is in the way of.
type store struct{ golden }

func (s store) DerivationOutputs(p storepath.Path) ([]storepath.Path, error) {
	var outputs []storepath.Path
	for _, output := range s.golden.DerivationOutputs[dir.Join(p)] {
		outputs = append(outputs, mustPath(output))
	}
	return outputs, nil
}

// request is what the builder of a golden was started with.
func (g golden) request(t *testing.T) Request {
	t.Helper()
	drv, err := derivation.Parse(dir, g.Name, []byte(g.Drv))
	if err != nil {
		t.Fatal(err)
	}
	options, err := drv.Options(dir)
	if err != nil {
		t.Fatal(err)
	}
	outputs := map[string]Output{}
	for _, output := range drv.Outputs {
		outputs[output.Name] = Output{Scratch: mustPath(g.Scratch[output.Name])}
	}
	host := map[string]string{"FOO": "of-the-host", "http_proxy": "http://p:1"}
	return Request{
		Dir: dir, Derivation: drv, Options: options, Outputs: outputs, BuildDir: g.BuildDir, Cores: 3,
		HostEnv: func(name string) string { return host[name] },
		Inputs:  func(p storepath.Path) (bool, error) { _, ok := g.Paths[dir.Join(p)]; return ok, nil },
		Store:   store{g},
	}
}

func TestLikeNix(t *testing.T) {
	files, err := filepath.Glob("testdata/nix-2.34.8/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, file := range files {
		g := readGolden(t, file)
		t.Run(g.Name, func(t *testing.T) {
			view, err := Make(g.request(t))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(g.Env, view.Env); diff != "" {
				t.Errorf("environment (-Nix +ours):\n%s", diff)
			}
			if diff := cmp.Diff(g.Args, view.Args); diff != "" {
				t.Errorf("arguments (-Nix +ours):\n%s", diff)
			}
			got := map[string]string{}
			for _, f := range view.Files {
				got[f.Name] = f.Content
				if f.Mode != 0o644 {
					t.Errorf("file %s has mode %v", f.Name, f.Mode)
				}
			}
			if diff := cmp.Diff(g.Files, got); diff != "" {
				t.Errorf("files (-Nix +ours):\n%s", diff)
			}
			if view.Builder != "/bin/bash" {
				t.Errorf("builder: %q", view.Builder)
			}
		})
	}
}
