package ports

import (
	"testing"

	"troupe/messages"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
)

func TestLeases(t *testing.T) {
	state := t.TempDir()
	roots, err := localstore.OpenTempRoots(localstore.Layout{Dir: "/nix/store", StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	defer roots.Close()
	l := newLeases(roots)
	path := func(name string) storepath.Path {
		p, err := storepath.ParseBase("00000000000000000000000000000000-" + name)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	add := func(owner messages.Address, name string) {
		t.Helper()
		if err := l.add(owner, path(name)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(names ...string) {
		t.Helper()
		kept := roots.Kept()
		if len(kept) != len(names) {
			t.Fatalf("%v are kept, want %v", kept, names)
		}
		for i, n := range names {
			if kept[i] != path(n) {
				t.Fatalf("%v are kept, want %v", kept, names)
			}
		}
	}

	add("drv/a", "a")
	add("drv/b", "b")
	add("session/1", "s")
	want("a", "b", "s")
	l.release(&messages.ReleasePaths{Owner: "drv/a", Epoch: 3})
	l.release(&messages.ReleasePaths{Owner: "drv/b", Epoch: 5})
	l.over(&messages.EpochsOver{Before: 3})
	want("a", "b", "s")
	l.over(&messages.EpochsOver{Before: 4})
	want("b", "s")
	l.release(&messages.ReleasePaths{Owner: "session/1"})
	want("b")
	l.over(&messages.EpochsOver{Before: 6})
	want()

	// An answer that comes when its owner has let go leaves nothing.
	done, again := l.begin("drv/c"), l.begin("drv/c")
	l.release(&messages.ReleasePaths{Owner: "drv/c"})
	add("drv/c", "c")
	done()
	want("c")
	again()
	want()
}
