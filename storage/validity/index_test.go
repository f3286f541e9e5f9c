package validity

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/storepath"
)

// needing reads "path: references by=deriver", of each line.
func needing(input string) (infos []Info) {
	for line := range strings.Lines(input) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		rest, drv, made := strings.Cut(rest, "by=")
		i := info(name, strings.Fields(rest)...)
		if made {
			i.Deriver = named(drv)
		}
		infos = append(infos, i)
	}
	return infos
}

// shownIndexes are the heads, the knots, and which derivation made what.
func shownIndexes(t testing.TB, db *DB) string {
	t.Helper()
	v, err := db.View()
	must(t, err)
	heads, herr := v.Heads()
	knots, kerr := v.Knots()
	must(t, errors.Join(herr, kerr, v.Close()))
	text := "heads " + names(heads)
	if len(knots) > 0 {
		text += "\nknots " + names(knots)
	}
	must(t, db.scan([]byte{keyMade}, func(k, _ []byte) error {
		drv, p, _ := strings.Cut(string(k[1:]), "\x00")
		text += fmt.Sprintf("\n%s made %s", must1(storepath.ParseBase(drv)).Name(), must1(storepath.ParseBase(p)).Name())
		return nil
	}))
	return text + "\n"
}

// What the indexes have after each change of what is durable.
func TestIndexes(t *testing.T) {
	db := memory(t)
	datadriven.RunTest(t, "testdata/indexes", func(t *testing.T, d *datadriven.TestData) string {
		infos := needing(d.Input)
		var of []storepath.Path
		for _, i := range infos {
			of = append(of, i.Path)
		}
		var err error
		switch d.Cmd {
		case "commit":
			must(t, db.RegisterProvisional(reg(infos...)))
			err = db.Commit(context.Background(), of...)
		case "replace":
			err = db.Replace(infos[0])
		case "sign":
			err = db.AddSignatures(of[0], "k:1")
		case "unregister":
			err = db.Unregister(of...)
		case "tidy":
			err = db.Tidy(of)
		default:
			t.Fatalf("no command %q", d.Cmd)
		}
		must(t, errors.Join(err, checkIndexes(db), checkClosed(db)))
		return shownIndexes(t, db)
	})
}

// A database of an earlier program gets its indexes once, whatever else was there, and
// not by half.
func TestIndexOfAnEarlierProgram(t *testing.T) {
	db := memory(t)
	must(t, db.RegisterProvisional(reg(needing("libc:\na: libc a\nloop: pool libc\npool: loop\nx: by=x.drv\nx.drv:\ny: by=gone.drv")...)))
	commit(t, db, "a", "loop", "x", "x.drv", "y")
	want := shownIndexes(t, db)
	b := db.pebble.NewBatch()
	must(t, errors.Join(b.DeleteRange([]byte{keyHead}, []byte{keyNamed}, nil), b.Set(pathKey(keyHead, named("nobody")), nil, nil),
		b.Set(pairKey(keyMade, named("a.drv"), named("a").Base()), nil, nil),
		b.Set(formatKey, binary.AppendUvarint(nil, formatUnfinished), nil), db.pebble.Apply(b, pebble.Sync)))
	must(t, db.checkFormat(false))
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := db.Index(cancelled); !errors.Is(err, context.Canceled) || db.Indexed() {
		t.Errorf("it was interrupted: %v", err)
	}
	must(t, db.checkFormat(false))
	if db.Indexed() {
		t.Error("it is said to be whole and was interrupted")
	}
	must(t, db.Index(context.Background()))
	if got := shownIndexes(t, db); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	must(t, db.checkFormat(false))
	if !db.Indexed() {
		t.Error("it is not known to be whole")
	}
}

// An index of more than a part.
func TestIndexOfMany(t *testing.T) {
	db := memory(t)
	var infos []Info
	for n := range 2*indexChunk + 1 {
		infos = append(infos, info(fmt.Sprint("p", n)))
		if n%2 > 0 {
			infos[n].References, infos[n].Deriver = []storepath.Path{named(fmt.Sprint("p", n-1))}, named("p.drv")
		}
	}
	must(t, db.RegisterProvisional(reg(infos...)))
	commit(t, db, "p0")
	want := shownIndexes(t, db)
	b := db.pebble.NewBatch()
	must(t, errors.Join(b.DeleteRange([]byte{keyHead}, []byte{keyNamed}, nil), db.pebble.Apply(b, pebble.Sync)))
	db.indexed.Store(false)
	must(t, db.Index(context.Background()))
	if got := shownIndexes(t, db); got != want {
		t.Errorf("got\n%.2000s\nwant\n%.2000s", got, want)
	}
}

// Who looks up one path does not go over what was deleted beside it.
func TestLookUpsPassOverNothing(t *testing.T) {
	db := memory(t)
	b := db.pebble.NewBatch()
	for n := range 1000 {
		must(t, b.Set(pairKey(keyReferrer, named("lib"), named(fmt.Sprint("p", n)).Base()), nil, nil))
	}
	first, last := []byte{keyReferrer, 0}, []byte{keyReferrer, 'z', 0}
	must(t, errors.Join(b.Set(first, nil, nil), b.Set(last, nil, nil), db.pebble.Apply(b, nil)))
	b = db.pebble.NewBatch()
	for n := range 1000 {
		must(t, b.Delete(pairKey(keyReferrer, named("lib"), named(fmt.Sprint("p", n)).Base()), nil))
	}
	must(t, db.pebble.Apply(b, nil))
	iter, err := db.iterate([]byte{keyReferrer})
	must(t, err)
	must(t, each(iter, first, func([]byte, []byte) error { return nil }))
	if stats := iter.Stats(); stats.InternalStats.PointCount > 10 {
		t.Errorf("it passed over %d records", stats.InternalStats.PointCount)
	}
	must(t, iter.Close())
}
