package validity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// named is a path whose hash part is made from its name.
func named(name string) storepath.Path {
	sum := nixhash.Sum(nixhash.SHA256, []byte(name)).Bytes()[:20]
	p, err := storepath.ParseBase(nixhash.EncodeBase32(sum) + "-" + name)
	if err != nil {
		panic(err)
	}
	return p
}

// info is a path that refers to others, by name.
func info(name string, refs ...string) Info {
	i := Info{Path: named(name), NarHash: nixhash.Sum(nixhash.SHA256, []byte(name)), NarSize: 120, RegistrationTime: 1700000000}
	for _, r := range refs {
		i.References = append(i.References, named(r))
	}
	slices.SortFunc(i.References, storepath.Path.Compare)
	return i
}

func reg(infos ...Info) Registration { return Registration{Paths: infos} }

func memory(t testing.TB) *DB {
	t.Helper()
	return openMemory(t, vfs.NewMem())
}

func openMemory(t testing.TB, fs vfs.FS) *DB {
	t.Helper()
	db, err := Open("/state/db", Options{FS: fs})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func commit(t testing.TB, db *DB, names ...string) {
	t.Helper()
	paths := make([]storepath.Path, len(names))
	for n, name := range names {
		paths[n] = named(name)
	}
	must(t, db.Commit(context.Background(), paths...))
}

// names shows paths without their hashes.
func names(paths []storepath.Path) string {
	out := make([]string, len(paths))
	for n, p := range paths {
		out[n] = p.Name()
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// stage is "durable", "provisional" or "invalid".
func stage(t testing.TB, db *DB, name string) string {
	t.Helper()
	durable, err := db.Durable(named(name))
	must(t, err)
	valid, err := db.Valid(named(name))
	must(t, err)
	switch {
	case durable && valid:
		return "durable"
	case valid:
		return "provisional"
	case durable:
		return "durable and not valid"
	}
	return "invalid"
}

func wantStage(t testing.TB, db *DB, want string, of ...string) {
	t.Helper()
	for _, name := range of {
		if got := stage(t, db, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// checkClosed fails when a valid path refers to one that is not, or an index
// does not say what the records say. It reads each record by itself, so that it
// is independent of the walks that it also serves to test.
func checkClosed(db *DB) error {
	for i, err := range db.All() {
		if err != nil {
			return err
		}
		for _, r := range i.References {
			if valid, err := db.Valid(r); err != nil || !valid {
				return errors.Join(err, fmt.Errorf("%s refers to %s, which is not valid", i.Path.Name(), r.Name()))
			}
			referrers, err := db.Referrers(r)
			if err != nil || !slices.Contains(referrers, i.Path) {
				return errors.Join(err, fmt.Errorf("%s is not among the referrers of %s", i.Path.Name(), r.Name()))
			}
		}
	}
	return nil
}
