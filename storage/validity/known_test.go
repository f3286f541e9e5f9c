package validity

import (
	"errors"
	"fmt"
	"testing"

	"troupe/storage/storepath"
)

func durable(t *testing.T, db *DB, infos ...Info) {
	t.Helper()
	must(t, db.RegisterProvisional(reg(infos...)))
	for _, i := range infos {
		commit(t, db, i.Path.Name())
	}
}

func wantClosure(t *testing.T, db *DB, root, want string) {
	t.Helper()
	if got := names(collect(t, db.Closure(named(root)))); got != want {
		t.Errorf("closure of %s is %q, want %q", root, got, want)
	}
}

// A closure that was read is read no more, until one of its records changes.
func TestAClosureIsKnown(t *testing.T) {
	db := memory(t)
	durable(t, db, info("b"), info("c"), info("a", "a", "b"))
	wantClosure(t, db, "a", "a b")
	before := db.Operations()
	wantClosure(t, db, "a", "a b")
	if now := db.Operations(); now.Gets != before.Gets || now.Scans != before.Scans {
		t.Errorf("operations: %+v, before %+v", now, before)
	}
	must(t, db.Replace(info("a", "a", "c")))
	wantClosure(t, db, "a", "a c")
	must(t, db.Unregister(named("a")))
	var notValid *NotValidError
	for _, err := range db.Closure(named("a")) {
		if !errors.As(err, &notValid) {
			t.Errorf("error is %v", err)
		}
	}
	durable(t, db, info("a", "b"))
	wantClosure(t, db, "a", "a b")
}

// What a walk read before a change is not taken for what is.
func TestAWalkDuringAChange(t *testing.T) {
	db := memory(t)
	durable(t, db, info("c"), info("d"), info("b", "c"), info("a", "b"))
	for p, err := range db.Closure(named("a")) {
		must(t, err)
		if p == named("a") {
			must(t, db.Replace(info("b", "d")))
		}
	}
	wantClosure(t, db, "a", "a b d")
}

// However much is read, what is remembered is bounded.
func TestKnownIsBounded(t *testing.T) {
	var k known
	references := collect(t, func(yield func(storepath.Path, error) bool) {
		for i := range knownMost / 50 {
			yield(named(fmt.Sprint("reference-", i)), nil)
		}
	})
	for i := range 120 {
		k.add(0, named(fmt.Sprint("p", i)), references)
		if k.count > knownMost || len(k.paths) > 50 || k.find([]byte(named(fmt.Sprint("p", i)).Base())) == nil {
			t.Fatalf("%d paths, %d with references", len(k.paths), k.count)
		}
	}
	k.forget(named("p119"))
	if k.find([]byte(named("p119").Base())) != nil {
		t.Error("it is not forgotten")
	}
}
