package narinfocache

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// clock is a time that the test sets.
type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

func options(c *clock) Options {
	return Options{Positive: 30 * 24 * time.Hour, Negative: time.Hour, Meta: 7 * 24 * time.Hour, Now: c.time}
}

func open(t *testing.T, dir string, o Options) *DB {
	t.Helper()
	db, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if db.pebble == nil {
			return
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// shut closes a database before its test ends.
func shut(t *testing.T, db *DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db.pebble = nil
}

// ask shows an answer: its text, "absent", or "?".
func ask(db *DB, cache, file string) string {
	text, present, known := db.Lookup(cache, file)
	switch {
	case !known:
		return "?"
	case !present:
		return "absent"
	}
	return "'" + string(text) + "'"
}

// Answers count for the time of their kind, for their cache and file alone, and over a restart.
func TestTimesToLive(t *testing.T) {
	c := &clock{time.Unix(1_700_000_000, 0)}
	dir := t.TempDir()
	db := open(t, dir, options(c))
	db.Remember("https://a", "nix-cache-info", []byte("StoreDir: /nix/store\n"), true)
	db.Remember("https://a", "x.narinfo", []byte("text"), true)
	db.Remember("https://a", "y.narinfo", nil, false)
	db.Remember("https://b", "nix-cache-info", nil, false)
	db.Remember("https://b", "x.narinfo", []byte{}, true)
	start := c.now
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{0, "'StoreDir: /nix/store\n' 'text' absent absent '' ? "},
		{time.Hour - time.Second, "'StoreDir: /nix/store\n' 'text' absent absent '' ? "},
		{time.Hour, "'StoreDir: /nix/store\n' 'text' ? ? '' ? "},
		{7 * 24 * time.Hour, "? 'text' ? ? '' ? "},
		{30*24*time.Hour - time.Second, "? 'text' ? ? '' ? "},
		{30 * 24 * time.Hour, "? ? ? ? ? ? "},
		{-time.Hour, "? ? ? ? ? ? "},
	} {
		shut(t, db)
		db = open(t, dir, options(c))
		c.now = start.Add(step.after)
		got := ""
		for _, q := range [][2]string{{"https://a", "nix-cache-info"}, {"https://a", "x.narinfo"}, {"https://a", "y.narinfo"},
			{"https://b", "nix-cache-info"}, {"https://b", "x.narinfo"}, {"https://b", "y.narinfo"}} {
			got += ask(db, q[0], q[1]) + " "
		}
		if got != step.want {
			t.Errorf("after %v: %s, want %s", step.after, got, step.want)
		}
	}
}

func TestForgetAndPurge(t *testing.T) {
	c := &clock{time.Unix(1_700_000_000, 0)}
	o := options(c)
	o.FS = vfs.NewMem()
	db := open(t, "db", o)
	for i := range 10 {
		db.Remember("a", fmt.Sprint(i, ".narinfo"), []byte("x"), i%2 == 0)
	}
	db.Forget("a", "0.narinfo")
	if got := ask(db, "a", "0.narinfo"); got != "?" {
		t.Errorf("forgotten: %s", got)
	}
	c.now = c.now.Add(2 * time.Hour)
	if n, err := db.Purge(); n != 5 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if n, err := db.Purge(); n != 0 || err != nil {
		t.Errorf("purged %d more, %v", n, err)
	}
	if got := ask(db, "a", "2.narinfo"); got != "'x'" {
		t.Errorf("one that counts: %s", got)
	}
}

// With a time of 0 nothing is kept.
func TestNothingKept(t *testing.T) {
	c := &clock{time.Unix(1_700_000_000, 0)}
	db := open(t, "db", Options{FS: vfs.NewMem(), Now: c.time, Positive: time.Hour})
	db.Remember("a", "x.narinfo", nil, false)
	db.Remember("a", "nix-cache-info", []byte("x"), true)
	db.Remember("a", "y.narinfo", []byte("x"), true)
	for file, want := range map[string]string{"x.narinfo": "?", "nix-cache-info": "?", "y.narinfo": "'x'"} {
		if got := ask(db, "a", file); got != want {
			t.Errorf("%s: %s", file, got)
		}
	}
}

// What cannot be read is begun anew; what somebody else has is left alone.
func TestBegunAnew(t *testing.T) {
	c := &clock{time.Unix(1_700_000_000, 0)}
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"another version": func(t *testing.T, dir string) {
			db := open(t, dir, options(c))
			if err := db.pebble.Set(formatKey, []byte{formatVersion + 1}, nil); err != nil {
				t.Fatal(err)
			}
			shut(t, db)
		},
		"a file cut short": func(t *testing.T, dir string) {
			manifests, err := filepath.Glob(dir + "/MANIFEST-*")
			if err != nil || len(manifests) == 0 {
				t.Fatal(manifests, err)
			}
			for _, m := range manifests {
				if err := os.WriteFile(m, []byte("nonsense, and more of it"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db := open(t, dir, options(c))
			db.Remember("a", "x.narinfo", []byte("x"), true)
			shut(t, db)
			spoil(t, dir)
			db = open(t, dir, options(c))
			if got := ask(db, "a", "x.narinfo"); got != "?" {
				t.Errorf("what was there reads as %s", got)
			}
			db.Remember("a", "x.narinfo", []byte("y"), true)
			if got := ask(db, "a", "x.narinfo"); got != "'y'" {
				t.Errorf("what is new reads as %s", got)
			}
			if second, err := Open(dir, options(c)); err == nil {
				second.Close()
				t.Error("opened twice")
			}
		})
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(record(time.Unix(1_700_000_000, 0), []byte("text"), true))
	f.Add(record(time.Unix(-1, 0), nil, false))
	f.Fuzz(func(t *testing.T, b []byte) {
		at, text, present, ok := parse(b)
		if !ok {
			return
		}
		at2, text2, present2, ok := parse(record(at, text, present))
		if !ok || !at.Equal(at2) || !bytes.Equal(text, text2) || present != present2 {
			t.Errorf("%q came back as %v %q %v %v", b, at2, text2, present2, ok)
		}
	})
}

// The same answer counts for as long as whoever asks says.
func TestWith(t *testing.T) {
	c := &clock{time.Unix(1_700_000_000, 0)}
	db := open(t, t.TempDir(), options(c))
	db.Remember("https://a", "x.narinfo", []byte("text"), true)
	c.now = c.now.Add(time.Minute)
	fresh := db.With(0, 0, 0)
	if got := ask(fresh, "https://a", "x.narinfo"); got != "?" {
		t.Errorf("who wants fresh answers is given %q", got)
	}
	if got := ask(db, "https://a", "x.narinfo"); got != "'text'" {
		t.Errorf("others are given %q", got)
	}
}
