package addition_test

import (
	"bytes"
	"context"
	"os"
	"testing"

	"troupe/storage/addition"
	"troupe/storage/localstore"
)

// A staging directory is used again only where nothing is in it, and made anew where
// somebody has removed it.
func TestStages(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	a := s.adder()
	a.Stages = &addition.Stages{}
	staged := func() (names []string) {
		t.Helper()
		entries, err := os.ReadDir(s.Layout.StagingDir())
		must(t, err)
		for _, e := range entries {
			if e.Name() != "roots" {
				names = append(names, e.Name())
			}
		}
		return names
	}
	remove := func(path string) { // a store's directories cannot be written to, by their owner neither
		t.Helper()
		_, err := localstore.Remove(path)
		must(t, err)
	}
	info, sent := sample(t, "tree")
	add := func(repair bool) error {
		terms := trustAll
		terms.Repair = repair
		return a.AddNar(ctx, info, bytes.NewReader(sent), terms)
	}
	must(t, add(false))
	first := staged()
	if len(first) != 1 {
		t.Fatalf("kept: %v", first)
	}
	must(t, a.AddNar(ctx, info, bytes.NewReader(sent), trustAll)) // it is valid
	must(t, add(true))                                            // what it takes the place of is left
	if left := staged(); len(left) != 0 {
		t.Errorf("kept with the old contents: %v", left)
	}
	s.want(t, info.Path)
	remove(s.Layout.RealPath(info.Path))
	must(t, add(true))
	kept := staged()
	if len(kept) != 1 {
		t.Fatalf("kept: %v", kept)
	}
	remove(s.Layout.StagingDir())
	remove(s.Layout.RealPath(info.Path))
	must(t, add(true))
	must(t, a.Stages.Close())
	s.want(t, info.Path)
	if left := staged(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
