package ports

import (
	"context"
	"errors"
	"os"
	"testing"

	"troupe/storage/addition"
	"troupe/storage/gc"
	"troupe/storage/localstore"
	"troupe/storage/validity"
)

// What is dead goes where space is short, and not before.
func TestSpace(t *testing.T) {
	dir, err := os.MkdirTemp("", "troupe-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { localstore.Remove(dir) })
	l := localstore.Layout{Dir: "/nix/store", Root: dir, StateDir: dir + "/state", LogDir: dir + "/log"}
	if err := localstore.Prepare(l, ""); err != nil {
		t.Fatal(err)
	}
	db, err := validity.Open(dir+"/state/db", validity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	roots, err := localstore.OpenTempRoots(l)
	if err != nil {
		t.Fatal(err)
	}
	defer roots.Close()
	s := Services{Layout: l, DB: db, Roots: roots}.Shared()
	adder := addition.Adder{Layout: l, DB: db}
	p, err := adder.Text(context.Background(), "dead", []byte("x"), nil)
	if err := errors.Join(err, adder.Commit(context.Background(), p)); err != nil {
		t.Fatal(err)
	}
	policy := SpacePolicy{Limits: gc.Limits{Min: 1000, Max: 1 << 40}}
	for _, c := range []struct {
		free  uint64
		valid bool
	}{{1000, true}, {999, false}} {
		space := &Space{s: s, free: func() (uint64, error) { return c.free, nil }}
		space.look(context.Background(), policy)
		if valid, err := db.Valid(p); err != nil || valid != c.valid {
			t.Errorf("with %d bytes free: valid is %v, %v", c.free, valid, err)
		}
	}
}
