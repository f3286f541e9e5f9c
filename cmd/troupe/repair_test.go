package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRepair changes and deletes contents of valid paths. They come back from a
// cache where one has them, and are built again where none has.
func TestRepair(t *testing.T) {
	c := newNixCache(t)
	c.copy(t, "none")
	store := t.TempDir()
	fromCache := c.options("file://" + c.dir)
	if _, said, err := c.troupe(store, append([]string{"build", c.drv + "^out"}, fromCache...)...); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	want := troupeFacts(t, c.env, store, []string{c.out})
	at := func(suffix string) string {
		for _, p := range c.closure {
			if strings.HasSuffix(p, suffix) {
				return store + p
			}
		}
		t.Fatalf("nothing is called %s in %v", suffix, c.closure)
		return ""
	}
	spoil := func() {
		t.Helper()
		if err := os.RemoveAll(at("-leaf")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at("-tree"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at("-tree"), "bad"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		args []string
		bad  bool
	}{
		{[]string{"--option", "substitute", "false"}, true},
		{append(fromCache, "--repair"), false},
		{[]string{"--option", "substitute", "false", "--option", "sandbox", "false", "--repair"}, false},
	} {
		spoil()
		_, said, err := c.troupe(store, append([]string{"verify", "--contents"}, test.args...)...)
		if (err != nil) != test.bad || !strings.Contains(said, " 2 wrong") {
			t.Errorf("%v: %v\n%s", test.args, err, said)
		}
		if test.bad {
			continue
		}
		if diff := cmp.Diff(want, troupeFacts(t, c.env, store, []string{c.out})); diff != "" {
			t.Errorf("%v: before -, then +:\n%s", test.args, diff)
		}
		if _, said, err := c.troupe(store, "verify", "--contents"); err != nil || !strings.Contains(said, " 0 wrong") {
			t.Errorf("%v: afterwards %v\n%s", test.args, err, said)
		}
	}
}
