package binarycache

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"troupe/storage/nixhash"
	"troupe/storage/realisation"
)

// A realisation is read as it was written, from where Nix 2.34.8 has it, also over HTTP where its name must be escaped.
func TestRealisation(t *testing.T) {
	s := newSample(t, "none", false)
	ctx := context.Background()
	id := realisation.ID{Hash: nixhash.Sum(nixhash.SHA256, nil), Output: "out?x"}
	r := realisation.Realisation{ID: id, Path: s.info.Path, Signatures: []string{"a:b"}}
	files, err := NewPool(Settings{StoreDir: "/nix/store"}).Open("file://" + s.dir)
	must(t, err)
	must(t, files.PutRealisation(ctx, r))
	name := filepath.Join(s.dir, "realisations/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855!out?x.doi")
	text, err := os.ReadFile(name)
	must(t, err)
	if want := `{"dependentRealisations":{},"id":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855!out?x",` +
		`"outPath":"i1kx9g2zbfgblhg37zik3s0vy4clkbzd-top","signatures":["a:b"]}`; string(text) != want {
		t.Errorf("written: %s", text)
	}
	url, asked := listening(t, s)
	pool := NewPool(Settings{StoreDir: "/nix/store", Answers: newAnswers(t)})
	defer pool.Close()
	server, err := pool.Open(url)
	must(t, err)
	for _, c := range []*Cache{files, server, server} {
		if got, has, err := c.Realisation(ctx, id); !reflect.DeepEqual(got, r) || !has || err != nil {
			t.Errorf("%s: %+v, %v, %v", c, got, has, err)
		}
		if _, has, err := c.Realisation(ctx, realisation.ID{Hash: id.Hash, Output: "dev"}); has || err != nil {
			t.Errorf("%s: one that it does not have: %v, %v", c, has, err)
		}
	}
	if got := asked(); got != " .doi .doi" {
		t.Errorf("the server was asked %q", got)
	}
}

// One that is about another output, or nothing, is not believed; and not remembered.
func TestRealisationOfAnother(t *testing.T) {
	s := newSample(t, "none", false)
	ctx := context.Background()
	a := realisation.ID{Hash: nixhash.Sum(nixhash.SHA256, nil), Output: "a"}
	b := realisation.ID{Hash: a.Hash, Output: "b"}
	files, err := NewPool(Settings{StoreDir: "/nix/store"}).Open("file://" + s.dir)
	must(t, err)
	must(t, files.PutRealisation(ctx, realisation.Realisation{ID: a, Path: s.info.Path}))
	must(t, os.Rename(filepath.Join(s.dir, files.realisationFile(a)), filepath.Join(s.dir, files.realisationFile(b))))
	must(t, os.WriteFile(filepath.Join(s.dir, files.realisationFile(a)), []byte("<html>"), 0o644))
	url, asked := listening(t, s)
	pool := NewPool(Settings{StoreDir: "/nix/store", Answers: newAnswers(t)})
	defer pool.Close()
	server, err := pool.Open(url)
	must(t, err)
	for range 2 {
		for _, id := range []realisation.ID{a, b} {
			if r, has, err := server.Realisation(ctx, id); has || !is(err, Corrupt) {
				t.Errorf("%+v, %v, %v", r, has, err)
			}
		}
	}
	if got := asked(); got != " .doi .doi .doi .doi" {
		t.Errorf("the server was asked %q", got)
	}
}
