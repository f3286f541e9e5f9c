package sessions_test

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"troupe/messages/workerproto"
)

// What clients add one after the other is staged in one directory, which a collection
// takes away: an empty store is an empty directory.
func TestStagingOfClients(t *testing.T) {
	w := newWorld(t)
	staged := func() []string {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(w.layout.StagingDir(), "add-*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	var before string
	for n := range 3 {
		c := w.connect(rootUser, newest)
		tell[*workerproto.Path](c, &workerproto.AddTextToStore{Name: "x", Text: fmt.Sprint(n)}, nil)
		now := staged()
		if len(now) != 1 || before != "" && now[0] != before {
			t.Fatalf("staged in %v, and before in '%s'", now, before)
		}
		before = now[0]
	}
	tell[*workerproto.GCResult](w.connect(rootUser, newest), &workerproto.CollectGarbage{Action: workerproto.GCDeleteDead, MaxFreed: math.MaxUint64}, nil)
	if left := staged(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
