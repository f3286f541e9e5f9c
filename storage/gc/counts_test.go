package gc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// costOfFew is what the second of two collections of a few dead paths asks the database
// for, where many live ones are there: ten that are roots, and below them layers of ten,
// each of which is needed by three of those above it.
func costOfFew(t *testing.T, live int) validity.Operations {
	w := newWorld(t)
	must(t, w.DB.Close())
	var err error
	w.DB, err = validity.Open("/db", validity.Options{FS: vfs.NewMem()}) // no files, and no waiting for the disk
	must(t, err)
	var regs []validity.Registration
	var paths []storepath.Path
	for n := range live {
		reg := parsed(fmt.Sprint("live", n))
		for k := range 3 * min(1, n/10) {
			reg.Paths[0].References = append(reg.Paths[0].References, paths[n/10*10-10+(n+k)%10])
		}
		regs, paths = append(regs, reg), append(paths, reg.Paths[0].Path)
	}
	must(t, w.DB.RegisterProvisional(regs...))
	must(t, w.DB.Commit(context.Background(), paths...))
	for n := live - 10; n < live; n++ {
		w.root(fmt.Sprint("r", n), w.Layout.Dir.Join(paths[n]))
	}
	var before validity.Operations
	for round := range 2 {
		before = w.DB.Operations()
		must(t, w.DB.RegisterProvisional(parsed(fmt.Sprint("lib", round, " live0 live5")), parsed(fmt.Sprint("made", round, ".drv live5")),
			parsed(fmt.Sprint("tool", round, " lib", round, " live1 by=made", round, ".drv"))))
		must(t, w.DB.Commit(context.Background(), allNamed(fmt.Sprint("tool", round), fmt.Sprint("made", round, ".drv"))...))
		if r := w.collect(options(DeleteDead)); len(r.Paths) != 3 {
			t.Fatalf("deleted %q", r.Paths)
		}
	}
	after := w.DB.Operations()
	w.collect(options(DeleteDead))
	view, err := w.DB.View()
	must(t, err)
	heads, err := view.Heads()
	must(t, errors.Join(err, view.Close()))
	if len(heads) != 10 {
		t.Errorf("there are %d heads: what the dead referred to stays among them", len(heads))
	}
	return validity.Operations{Gets: after.Gets - before.Gets, Scans: after.Scans - before.Scans,
		Batches: after.Batches - before.Batches, Walked: after.Walked - before.Walked, Viewed: after.Viewed - before.Viewed}
}

// What a collection costs hangs on what dies and on the roots, and not on what stays.
func TestCollectionsCostWhatDies(t *testing.T) {
	few, many := costOfFew(t, 200), costOfFew(t, 20_000)
	t.Logf("%+v", many)
	if few != many {
		t.Errorf("of 20,000 live paths: %+v, of 200: %+v", many, few)
	}
	if many.Viewed > 60 || many.Scans > 20 {
		t.Errorf("three dead paths cost %+v", many)
	}
}

// Names that were found valid once are not asked for again, until somebody else makes paths
// invalid.
func TestNamesAreRemembered(t *testing.T) {
	w := newWorld(t)
	var all []string
	for n := range 100 {
		all = append(all, fmt.Sprint("p", n))
		w.root(all[n], w.path(all[n]))
	}
	w.valid(all...)
	cost := func() int64 {
		before := w.DB.Operations().Gets
		w.collect(options(DeleteDead))
		return w.DB.Operations().Gets - before - int64(len(all)) // each root is asked for
	}
	if first, second := cost(), cost(); first < 100 || second > 0 {
		t.Errorf("%d names were asked for, then %d", first, second)
	}
	w.valid("new") // dies, and is no leftover
	w.want("deleted", w.names(w.collect(options(DeleteDead)).Paths), "new")
	must(t, os.Mkdir(w.path("new"), 0o755)) // as a build leaves it that is killed
	w.want("deleted", w.names(w.collect(options(DeleteDead)).Paths), "new")
	must(t, w.DB.Unregister(named("p7")))
	w.want("deleted", w.names(w.collect(options(DeleteDead)).Paths), "p7")
}

// Of many names that are not remembered all that is valid is read at once.
func TestManyNames(t *testing.T) {
	db, err := validity.Open("/db", validity.Options{FS: vfs.NewMem()})
	must(t, err)
	defer func() { must(t, db.Close()) }()
	var reg validity.Registration
	var known names
	var lists [][]string
	for n := range scanAbove + 1000 {
		reg.Paths = append(reg.Paths, parsed(fmt.Sprint("p", n)).Paths...)
		if n%100 == 0 {
			lists = append(lists, []string{named(fmt.Sprint("left", n)).Base(), "junk"})
		}
		lists[len(lists)-1] = append(lists[len(lists)-1], reg.Paths[n].Path.Base())
	}
	must(t, db.RegisterProvisional(reg))
	must(t, db.Commit(context.Background(), reg.Paths[0].Path))
	lister := func() func() ([]string, error) {
		rest := lists
		return func() ([]string, error) {
			if len(rest) == 0 {
				return nil, nil
			}
			some := rest[0]
			rest = rest[1:]
			return some, nil
		}
	}
	for range 2 {
		before := db.Operations()
		unknown, err := known.unknown(db, lister())
		must(t, err)
		if after := db.Operations(); len(unknown) != 60 || after.Gets-before.Gets > 30 || after.Scans-before.Scans > 1 {
			t.Errorf("%d of %d are no paths; %+v, before %+v", len(unknown), len(reg.Paths), after, before)
		}
	}
}
