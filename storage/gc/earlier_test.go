package gc

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"troupe/storage/validity"
)

// narrowFS is a disk on which little space is left, if it is so.
type narrowFS struct {
	vfs.FS
	full bool
}

func (n *narrowFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	if n.full {
		return vfs.DiskUsage{AvailBytes: 8 << 20}, nil
	}
	return vfs.DiskUsage{AvailBytes: 1 << 40}, nil
}

// earlier opens a database as a program left it that knew no indexes.
func (w *world) earlier(fs vfs.FS) {
	w.t.Helper()
	must(w.t, w.DB.Close())
	db, err := pebble.Open("/db", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatValueSeparation, Logger: silent{}})
	must(w.t, err)
	must(w.t, errors.Join(db.DeleteRange([]byte("h"), []byte("n"), nil), db.Set([]byte("\x00format"), []byte{1}, pebble.Sync), db.Close()))
	w.DB, err = validity.Open("/db", validity.Options{FS: fs})
	must(w.t, err)
}

// A database of an earlier program is collected like any other, and gets its indexes,
// where there is space for them and a collection would use them.
func TestCollectEarlierDatabase(t *testing.T) {
	w := newWorld(t)
	must(t, w.DB.Close())
	fs := &narrowFS{FS: vfs.NewMem()}
	var err error
	w.DB, err = validity.Open("/db", validity.Options{FS: fs})
	must(t, err)
	w.valid("libc", "tool.drv", "tool libc by=tool.drv", "loop-a loop-b", "loop-b loop-a", "one", "two one", "three")
	w.root("tool", w.path("tool"))
	w.earlier(fs)
	for _, c := range []struct {
		what    string
		o       Options
		full    bool
		deleted string
		indexed bool
	}{
		{"what is dead is printed", options(ReturnDead), false, "loop-a loop-b one three two", false},
		{"outputs are kept", Options{Action: DeleteDead, KeepOutputs: true}, false, "", false},
		{"the disk is full", Options{Action: DeleteSpecific, MaxFreed: Unlimited, Paths: allNamed("one", "two")}, true, "one two", false},
		{"all that is dead", options(DeleteDead), false, "loop-a loop-b three", true},
	} {
		fs.full = c.full
		r := w.collect(c.o)
		if got := w.names(r.Paths); got != c.deleted || w.DB.Indexed() != c.indexed {
			t.Errorf("%s: %q, indexed %v", c.what, got, w.DB.Indexed())
		}
	}
	w.want("left", w.there(), "libc tool tool.drv")
}

// silent is for Pebble's talk.
type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
