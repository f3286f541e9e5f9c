package nar_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"troupe/storage/nar"
)

// word is a string as an archive has it.
func word(s string) string {
	n := binary.LittleEndian.AppendUint64(nil, uint64(len(s)))
	return string(n) + s + strings.Repeat("\x00", -len(s)&7)
}

// archive strings words together; raw is taken as it is.
func archive(words ...any) string {
	var b strings.Builder
	b.WriteString(word("nix-archive-1"))
	for _, w := range words {
		switch w := w.(type) {
		case string:
			b.WriteString(word(w))
		case raw:
			b.WriteString(string(w))
		}
	}
	return b.String()
}

type raw string

func length(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }

// entries is a directory of empty files.
func entries(names ...string) string {
	words := []any{"(", "type", "directory"}
	for _, n := range names {
		words = append(words, "entry", "(", "name", n, "node", "(", "type", "regular", "contents", "", ")", ")")
	}
	return archive(append(words, ")")...)
}

func nested(n int) string {
	words := []any{"(", "type", "directory"}
	for range n {
		words = append(words, "entry", "(", "name", "a", "node", "(", "type", "directory")
	}
	for range n {
		words = append(words, ")", ")")
	}
	return archive(append(words, ")")...)
}

// The verdicts are those of nix-store --restore of Nix 2.34.8.
var verdicts = []struct {
	name, archive string
	ok            bool
}{
	{"regular", archive("(", "type", "regular", "contents", "hi", ")"), true},
	{"executable", archive("(", "type", "regular", "executable", "", "contents", "hi", ")"), true},
	{"no contents", archive("(", "type", "regular", ")"), false},
	{"no contents, closed twice", archive("(", "type", "regular", ")", ")"), false},
	{"executable without contents", archive("(", "type", "regular", "executable", "", ")"), false},
	{"unknown token", archive("(", "type", "regular", "foo", ")"), false},
	{"executable marker not empty", archive("(", "type", "regular", "executable", "x", "contents", "hi", ")"), false},
	{"executable after contents", archive("(", "type", "regular", "contents", "hi", "executable", "", ")"), false},
	{"two contents", archive("(", "type", "regular", "contents", "hi", "contents", "ho", ")"), false},
	{"symlink", archive("(", "type", "symlink", "target", "x", ")"), true},
	{"empty target", archive("(", "type", "symlink", "target", "", ")"), false},
	{"long target", archive("(", "type", "symlink", "target", strings.Repeat("x", 4095), ")"), true},
	{"too long target", archive("(", "type", "symlink", "target", strings.Repeat("x", 4096), ")"), false},
	{"target with NUL", archive("(", "type", "symlink", "target", "a\x00b", ")"), false},
	{"device", archive("(", "type", "device", ")"), false},
	{"empty directory", entries(), true},
	{"directory", entries("a", "b"), true},
	{"unsorted", entries("b", "a"), false},
	{"duplicate", entries("a", "a"), false},
	{"upper before lower", entries("A", "a"), true},
	{"dot", entries("."), false},
	{"dot dot", entries(".."), false},
	{"slash", entries("a/b"), false},
	{"NUL in name", entries("a\x00b"), false},
	{"empty name", entries(""), false},
	{"name of 255", entries(strings.Repeat("x", 255)), true},
	{"name of 256", entries(strings.Repeat("x", 256)), false},
	{"parenthesis", entries(")"), true},
	{"newline", entries("a\nb"), true},
	{"not UTF-8", entries("\xff\xfe"), true},
	{"node before name", archive("(", "type", "directory", "entry", "(", "node", "(", "type", "regular", "contents", "", ")", "name", "a", ")", ")"), false},
	{"bytes after the end", archive("(", "type", "regular", "contents", "hi", ")") + "garbage!", true},
	{"padding not zero", archive("(", "type", "regular", "contents", raw(length(2)+"hi\x00\x00\x00\x00\x00\x01"), ")"), false},
	{"cut short", archive("(", "type", "regular", "contents", "hi"), false},
	{"other magic", word("nix-archive-2"), false},
	{"huge file", archive("(", "type", "regular", "contents", raw(length(1<<64-1))), false},
	{"huge token", length(1<<63) + strings.Repeat("x", 64), false},
	{"63 directories deep", nested(63), true},
	{"64 directories deep", nested(64), false},
}

func TestVerdicts(t *testing.T) {
	for _, c := range verdicts {
		t.Run(c.name, func(t *testing.T) {
			place := filepath.Join(t.TempDir(), "out")
			in := strings.NewReader(c.archive)
			err := nar.Restore(in, place)
			if (err == nil) != c.ok {
				t.Fatalf("accepted: %v, error %v", err == nil, err)
			}
			var syntax *nar.SyntaxError
			if err != nil {
				if !errors.As(err, &syntax) {
					t.Errorf("not a syntax error: %v", err)
				}
				if _, serr := os.Lstat(place); serr == nil {
					t.Error("something was left behind")
				}
				return
			}
			var back bytes.Buffer
			if err := nar.Dump(&back, place); err != nil {
				t.Fatal(err)
			}
			if rest := c.archive[len(c.archive)-in.Len():]; back.String()+rest != c.archive {
				t.Error("it dumps to other bytes")
			}
		})
	}
}

// A cut anywhere is refused, and nothing stays.
// TestDumpFile: the archive of contents is that of a file which has them.
func TestDumpFile(t *testing.T) {
	for _, size := range []int{0, 1, 8, 13, 1<<17 - 1, 3<<17 + 5} {
		contents := bytes.Repeat([]byte{'x', 'y', 0}, size/3+1)[:size]
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, contents, 0o644); err != nil {
			t.Fatal(err)
		}
		var want, got bytes.Buffer
		if err := errors.Join(nar.Dump(&want, file), nar.DumpFile(&got, contents)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("of %d bytes: another archive, of %d bytes instead of %d", size, got.Len(), want.Len())
		}
	}
}

func TestTruncation(t *testing.T) {
	whole := entries("a", "b")
	place := filepath.Join(t.TempDir(), "out")
	for n := range len(whole) {
		if err := nar.Restore(strings.NewReader(whole[:n]), place); err == nil {
			t.Fatalf("accepted when cut at %d", n)
		}
	}
	if _, err := os.Lstat(place); err == nil {
		t.Fatal("something was left behind")
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	place := filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(place, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := nar.Restore(strings.NewReader(entries("a")), place); err == nil {
		t.Fatal("it overwrote a file")
	}
	if b, err := os.ReadFile(place); err != nil || string(b) != "mine" {
		t.Fatal(string(b), err)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range verdicts {
		f.Add([]byte(c.archive))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bytes.NewReader(data)
		if nar.Parse(in, nil) != nil {
			return
		}
		used := data[:len(data)-in.Len()]
		place := filepath.Join(t.TempDir(), "out")
		if err := nar.Restore(bytes.NewReader(used), place); err != nil {
			return // accepted, but not by this file system
		}
		var back bytes.Buffer
		if err := nar.Dump(&back, place); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back.Bytes(), used) {
			t.Fatal("it dumps to other bytes")
		}
	})
}

// RestoreStored gives files their metadata in a store, and says where something else
// came with the place.
func TestRestoreStored(t *testing.T) {
	tree := t.TempDir() + "/tree"
	for _, dir := range []string{"", "/bin", "/empty"} {
		if err := os.Mkdir(tree+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(tree+"/bin/tool", []byte("#!"), 0o755), os.WriteFile(tree+"/text", nil, 0o600), os.Symlink("text", tree+"/link")); err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	setgid := t.TempDir()
	if err := os.Chmod(setgid, 0o755|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, in string
		plain    bool
		modes    map[string]os.FileMode
	}{
		{tree, t.TempDir(), true, map[string]os.FileMode{"": 0o555 | os.ModeDir, "bin": 0o555 | os.ModeDir, "bin/tool": 0o555, "empty": 0o555 | os.ModeDir, "text": 0o444,
			"link": 0o777 | os.ModeSymlink}},
		{file, t.TempDir(), true, map[string]os.FileMode{"": 0o444}},
		{tree + "/link", t.TempDir(), false, map[string]os.FileMode{"": 0o777 | os.ModeSymlink}},
		{tree, setgid, false, nil},
	} {
		var archive bytes.Buffer
		if err := nar.Dump(&archive, c.from); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { writable(c.in) })
		plain, err := nar.RestoreStored(&archive, c.in+"/place")
		if plain != c.plain || err != nil {
			t.Errorf("%s in %s: %v, %v", c.from, c.in, plain, err)
		}
		for name, mode := range c.modes {
			st, err := os.Lstat(filepath.Join(c.in, "place", name))
			if err != nil || st.Mode() != mode || st.ModTime().UnixNano() != 1e9 {
				t.Errorf("%s of %s: %v, %v, %v", name, c.from, st.Mode(), st.ModTime(), err)
			}
		}
	}
}

// writable lets everybody remove what is in a directory.
func writable(dir string) {
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o755)
		}
		return err
	})
}

// TestWhatCannotBeRestored is named as it lies there.
func TestWhatCannotBeRestored(t *testing.T) {
	top := t.TempDir() + "/top"
	if err := os.WriteFile(top, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text := archive("(", "type", "regular", "contents", "x", ")")
	if err := nar.Restore(strings.NewReader(text), top); err == nil || err.Error() != "restore '"+top+"': create "+top+": file exists" {
		t.Error(err)
	}
}
