package narinfocache

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// marked opens a database whose answers go with a file.
func marked(t *testing.T, dir string, forgotten func()) *DB {
	t.Helper()
	o := options(&clock{time.Unix(1_700_000_000, 0)})
	o.Marker, o.Forgotten = filepath.Join(dir, "cache", "binary-cache-troupe"), forgotten
	return open(t, filepath.Join(dir, "db"), o)
}

// With the marker all answers go, those of other caches too, whether the database is open meanwhile or not.
func TestMarker(t *testing.T) {
	dir, told := t.TempDir(), 0
	forgotten := func() { told++ }
	db := marked(t, dir, forgotten)
	remember := func() {
		db.Remember("/nix/store https://a", "x.narinfo", []byte("text"), true)
		db.Remember("~", "x.narinfo", nil, false)
	}
	want := func(when, answers string, tellings int) {
		t.Helper()
		if got := ask(db, "/nix/store https://a", "x.narinfo") + " " + ask(db, "~", "x.narinfo"); got != answers {
			t.Errorf("%s: %s, want %s", when, got, answers)
		}
		if told != tellings {
			t.Errorf("%s: told %d times, want %d", when, told, tellings)
		}
	}
	remember()
	want("at first", "'text' absent", 0)
	shut(t, db)
	db = marked(t, dir, forgotten)
	want("opened again", "'text' absent", 0)
	removeMarker(t, dir)
	want("the marker is gone", "? ?", 1)
	remember()
	want("remembered again", "'text' absent", 1)
	shut(t, db)
	removeMarker(t, dir)
	db = marked(t, dir, forgotten)
	want("gone while it was closed", "? ?", 1)
	remember()
	want("remembered then", "'text' absent", 1)

	// Somebody else's marker is as good as none of ours.
	removeMarker(t, dir)
	if err := os.WriteFile(markerOf(dir), []byte(markerText+"another\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want("another marker", "? ?", 2)
	if text, err := os.ReadFile(markerOf(dir)); err != nil || !strings.Contains(string(text), "another") {
		t.Errorf("it is now %q, %v", text, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "cache", ".*"))
	if len(left) > 0 || err != nil {
		t.Errorf("left there: %v, %v", left, err)
	}
}

// A database whose directory somebody deletes is done without: Pebble would end the process.
func TestDeletedDirectory(t *testing.T) {
	dir := t.TempDir()
	db := marked(t, dir, nil)
	db.Remember("a", "x.narinfo", []byte("text"), true)
	if err := os.RemoveAll(filepath.Join(dir, "db")); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 1<<20)
	for range 20 { // more than is held in memory
		db.Remember("a", "y.narinfo", big, true)
	}
	if got := ask(db, "a", "x.narinfo"); got != "?" {
		t.Errorf("after that: %s", got)
	}
}

func markerOf(dir string) string { return filepath.Join(dir, "cache", "binary-cache-troupe") }

func removeMarker(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(markerOf(dir)); err != nil {
		t.Fatal(err)
	}
}
