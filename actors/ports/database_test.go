package ports

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"troupe/messages"
	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// A flush that fails may have lost what it was to flush, and the next would say
// nothing of it: no later commit makes that valid.
func TestNothingIsCommittedAfterAFailedFlush(t *testing.T) {
	db, err := validity.Open("/db", validity.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p, err := storepath.ParseBase(strings.Repeat("0", 32) + "-a")
	if err == nil {
		err = db.RegisterProvisional(validity.Registration{Paths: []validity.Info{{Path: p, NarHash: nixhash.Sum(nixhash.SHA256, nil)}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	d := NewDatabase(nil, Services{DB: db})
	for _, try := range []struct {
		flush error
		want  string
	}{
		{fmt.Errorf("not now"), "not now"},
		{fmt.Errorf("bad disk: %w", localstore.ErrLost), "bad disk: what was written may be lost"},
		{nil, "an earlier flush failed, so nothing more is made valid: bad disk: what was written may be lost"},
	} {
		d.flushFiles = func(...string) error { return try.flush }
		got := d.commit(&messages.CommitPaths{Batch: 1, Paths: []storepath.Path{p}}).(*messages.PathsCommitted)
		if got.Error != try.want {
			t.Errorf("%v: error is %q, want %q", try.flush, got.Error, try.want)
		}
		if durable, err := db.Durable(p); err != nil || durable {
			t.Errorf("%v: durable is %v, %v", try.flush, durable, err)
		}
	}
}
