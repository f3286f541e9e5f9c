package nar_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"troupe/storage/nar"
)

// evil are lengths that overflow where 7 is added, are negative as signed numbers, or are
// far more than is sent.
var evil = []uint64{1<<64 - 1, 1<<64 - 2, 1<<64 - 7, 1<<64 - 8, 1<<63 + 1, 1 << 63, 1<<63 - 1, 1<<63 - 8, 1 << 40, 1 << 32}

// allocated is how many bytes f takes, those that it gives back included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestEvilLengths: each length in an archive, that of a keyword, a name, a target and of
// contents, may be any number: it is refused, and no memory is taken on its word.
func TestEvilLengths(t *testing.T) {
	whole := archive("(", "type", "directory", "entry", "(", "name", "a", "node", "(", "type", "regular", "executable", "", "contents", "hi", ")", ")",
		"entry", "(", "name", "b", "node", "(", "type", "symlink", "target", "a", ")", ")", ")")
	dir, tried := t.TempDir(), 0
	for at := 0; at < len(whole); at += 8 {
		if !strings.HasPrefix(whole[at+1:], strings.Repeat("\x00", 7)) {
			continue // no length
		}
		for _, n := range evil {
			sent := whole[:at] + length(n) + whole[at+8:]
			place := fmt.Sprintf("%s/%d-%d", dir, at, n)
			var err error
			got := allocated(func() { err = nar.Parse(strings.NewReader(sent), nil) })
			_, rerr := nar.RestoreStored(strings.NewReader(sent), place)
			var syntax *nar.SyntaxError
			if !errors.As(err, &syntax) || !errors.As(rerr, &syntax) {
				t.Errorf("%d at %d: %v, restored %v", n, at, err, rerr)
			}
			if got > 1<<18 { // a buffer, and what is little
				t.Errorf("%d at %d takes %d bytes", n, at, got)
			}
			tried++
		}
	}
	if tried < 300 {
		t.Errorf("%d lengths were tried", tried)
	}
}

// sentinel is a directory that is none of an archive's concern, and looks whether it is
// as it was.
func sentinel(t *testing.T) (dir string, look func()) {
	dir = t.TempDir()
	if err := os.WriteFile(dir+"/a", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, func() {
		t.Helper()
		if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
			t.Errorf("beside it there are %v, %v", names, err)
		}
		if text, err := os.ReadFile(dir + "/a"); err != nil || string(text) != "mine" {
			t.Errorf("beside it is %q, %v", text, err)
		}
	}
}

// TestNothingOutside: a link that leads away, and then something that would be made
// through it, by the same name or a name that goes up, is refused, and where the link
// leads all is as it was (CVE-2024-45593).
func TestNothingOutside(t *testing.T) {
	for what, then := range map[string][]any{
		"a directory of the same name": {"a", "directory", "entry", "(", "name", "a", "node", "(", "type", "regular", "contents", "evil", ")", ")"},
		"a file of the same name":      {"a", "regular", "contents", "evil"},
		"a link of the same name":      {"a", "symlink", "target", "/"},
		"through it":                   {"a/a", "regular", "contents", "evil"},
		"up from it":                   {"a/../a", "regular", "contents", "evil"},
		"up":                           {"..", "directory"},
		"itself":                       {".", "directory", "entry", "(", "name", "a", "node", "(", "type", "regular", "contents", "evil", ")", ")"},
		"the root":                     {"/", "directory"},
		"nothing":                      {"", "directory"},
		"a name cut off by a zero":     {"a\x00b", "directory", "entry", "(", "name", "a", "node", "(", "type", "regular", "contents", "evil", ")", ")"},
	} {
		dir, look := sentinel(t)
		words := []any{"(", "type", "directory", "entry", "(", "name", "a", "node", "(", "type", "symlink", "target", dir, ")", ")",
			"entry", "(", "name", then[0], "node", "(", "type"}
		sent := archive(append(append(words, then[1:]...), ")", ")", ")")...)
		for name, restore := range map[string]func(place string) error{
			"Restore":       func(place string) error { return nar.Restore(strings.NewReader(sent), place) },
			"RestoreStored": func(place string) error { _, err := nar.RestoreStored(strings.NewReader(sent), place); return err },
		} {
			var syntax *nar.SyntaxError
			if err := restore(filepath.Join(t.TempDir(), "out")); !errors.As(err, &syntax) {
				t.Errorf("%s, %s: %v", what, name, err)
			}
			look()
		}
	}
	// A link at the top is all there is, and nothing follows it.
	dir, look := sentinel(t)
	place := filepath.Join(t.TempDir(), "out")
	link := archive("(", "type", "symlink", "target", dir, ")")
	if err := nar.Restore(strings.NewReader(link), place); err != nil {
		t.Fatal(err)
	}
	if err := nar.Restore(strings.NewReader(entries("b")), place); err == nil {
		t.Error("it was restored through a link")
	}
	look()
}

// endless is directories in directories, made as they are read.
type endless struct {
	levels int
	left   string
	read   int // bytes
}

func (e *endless) Read(b []byte) (int, error) {
	if e.left == "" {
		if e.levels == 0 {
			return 0, io.EOF
		}
		e.levels--
		e.left = word("(") + word("type") + word("directory") + word("entry") + word("(") + word("name") + word("a") + word("node")
	}
	n := copy(b, e.left)
	e.left = e.left[n:]
	e.read += n
	return n, nil
}

// TestMillionDirectories: it is given up after 64, whatever follows (CVE-2026-44028).
func TestMillionDirectories(t *testing.T) {
	e := &endless{levels: 1_000_000, left: word("nix-archive-1")}
	var err error
	got := allocated(func() { err = nar.Parse(e, nil) })
	var syntax *nar.SyntaxError
	if !errors.As(err, &syntax) || !strings.Contains(err.Error(), "nested more than 64 deep") {
		t.Error(err)
	}
	if e.read > 65*200 || got > 1<<18 {
		t.Errorf("%d bytes are read, and %d taken", e.read, got)
	}
}

// TestDumpOfDeepTrees: what could not be restored is not dumped.
func TestDumpOfDeepTrees(t *testing.T) {
	for levels, ok := range map[int]bool{64: true, 65: false} { // the top is one
		top := filepath.Join(t.TempDir(), "top")
		if err := os.MkdirAll(top+strings.Repeat("/a", levels-1), 0o755); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		err := nar.Dump(&b, top)
		if (err == nil) != ok || !ok && !strings.Contains(err.Error(), "nested more than 64 deep") {
			t.Errorf("%d levels: %v", levels, err)
		}
		if ok {
			if err := nar.Parse(strings.NewReader(b.String()), nil); err != nil {
				t.Errorf("%d levels: %v", levels, err)
			}
		}
	}
}
