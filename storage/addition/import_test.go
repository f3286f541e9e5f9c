package addition_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"troupe/storage/addition"
	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

const dir storepath.Dir = "/nix/store"

// writeDerivation writes one that reads a source and perhaps another derivation
// into a directory, and returns its file.
func writeDerivation(t *testing.T, in, name string, source storepath.Path, input *derivation.Derivation) (string, *derivation.Derivation) {
	t.Helper()
	d := &derivation.Derivation{Name: name, Outputs: []derivation.Output{{Name: "out"}}, Sources: []storepath.Path{source},
		Platform: "x86_64-linux", Builder: "/bin/sh", Env: map[string]string{"out": ""}}
	modulo := func(storepath.Path) (derivation.ModuloHash, error) { return input.Modulo(dir, nil) }
	if input != nil {
		p, err := input.Path(dir)
		must(t, err)
		d.Inputs = []derivation.Input{{Path: p, Wanted: derivation.Wanted{Outputs: []string{"out"}}}}
	}
	paths, err := d.OutputPaths(dir, modulo)
	must(t, err)
	d.Outputs[0].Path, d.Env["out"] = paths[0], dir.Join(paths[0])
	p, err := d.Path(dir)
	must(t, err)
	must(t, os.WriteFile(in+"/"+p.Base(), d.Print(dir), 0o644))
	return in + "/" + p.Base(), d
}

// beside is a directory with two derivations, one an input of the other, and
// their source.
func beside(t *testing.T) (in, file string, paths []storepath.Path) {
	t.Helper()
	tree := sampleTree(t)
	in = filepath.Dir(tree)
	source, err := storepath.ParseBase("j3vx8azsp3sa8smjiynkaxinwd5v7z6m-tree")
	must(t, err)
	must(t, os.Rename(tree, in+"/"+source.Base()))
	_, input := writeDerivation(t, in, "input", source, nil)
	file, d := writeDerivation(t, in, "top", source, input)
	inputPath, err := input.Path(dir)
	must(t, err)
	p, err := d.Path(dir)
	must(t, err)
	return in, file, []storepath.Path{p, inputPath, source}
}

func TestImport(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	_, file, paths := beside(t)
	p, err := addition.ImportDerivation(ctx, s.adder(), dir, file)
	if err != nil || p != paths[0] {
		t.Fatal(p, err)
	}
	s.want(t, paths...)
	outputs, err := s.db.Outputs(p)
	must(t, err)
	if derivers, err := s.db.Derivers(outputs["out"]); err != nil || len(derivers) != 1 || derivers[0] != p {
		t.Error(derivers, err)
	}
	must(t, s.adder().Commit(ctx, p))
	for _, q := range paths {
		if durable, err := s.db.Durable(q); err != nil || !durable {
			t.Errorf("%s: durable is %v, %v", q, durable, err)
		}
	}
}

// A file that is not what its name says is refused, and so is all that needs
// it.
func TestImportRefuses(t *testing.T) {
	for what, c := range map[string]struct {
		spoil func(t *testing.T, in string, paths []storepath.Path) error
		want  string
	}{
		"source": {func(_ *testing.T, in string, paths []storepath.Path) error {
			return os.WriteFile(in+"/"+paths[2].Base()+"/more", nil, 0o644)
		}, "are not those that its name was made of"},
		"no source": {func(_ *testing.T, in string, paths []storepath.Path) error {
			return os.Rename(in+"/"+paths[2].Base(), in+"/away")
		}, "neither valid nor beside the file"},
		"input": {func(t *testing.T, in string, paths []storepath.Path) error {
			text, err := os.ReadFile(in + "/" + paths[1].Base())
			return errors.Join(err, os.WriteFile(in+"/"+paths[1].Base(), []byte(strings.Replace(string(text), "/bin/sh", "/bin/bash", 1)), 0o644))
		}, "incorrect output"},
		"top": {func(t *testing.T, in string, paths []storepath.Path) error {
			text, err := os.ReadFile(in + "/" + paths[0].Base())
			return errors.Join(err, os.WriteFile(in+"/"+paths[0].Base(), text[:len(text)-1], 0o644))
		}, "byte"},
	} {
		s := newStore(t)
		in, file, paths := beside(t)
		must(t, c.spoil(t, in, paths))
		if _, err := addition.ImportDerivation(context.Background(), s.adder(), dir, file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
		if valid, err := s.db.Valid(paths[0]); err != nil || valid {
			t.Errorf("%s: valid is %v, %v", what, valid, err)
		}
	}
}
