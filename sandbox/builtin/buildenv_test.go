package builtin

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestBuildEnv runs testdata/buildenv/*: "pkg NAME" makes a package with one entry a line ("a/b" is a file, "a/b/" a
// directory, "a/b -> c" a symlink, "a/b = text" a file with text), and "build" makes an environment, each input line being
// active, priority and packages, and prints its log, and its tree or its error. $P is where packages are.
func TestBuildEnv(t *testing.T) {
	datadriven.Walk(t, "testdata/buildenv", func(t *testing.T, file string) {
		dir := t.TempDir()
		outs := 0
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "pkg" {
				makePackage(t, filepath.Join(dir, d.CmdArgs[0].Key), strings.ReplaceAll(d.Input, "$P", dir))
				return ""
			}
			outs++
			out := filepath.Join(dir, fmt.Sprint("out", outs))
			var log strings.Builder
			err := Run("builtin:buildenv", Input{
				Env:     map[string]string{"derivations": derivations(dir, d.Input), "manifest": "/manifest"},
				Outputs: map[string]string{"out": out}, Log: &log,
			})
			if err != nil {
				fmt.Fprintf(&log, "error: %v\n", err)
			} else {
				log.WriteString(tree(t, out))
			}
			return strings.NewReplacer(out, "$out", dir, "$P").Replace(log.String())
		})
	})
}

func makePackage(t *testing.T, dir, entries string) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(dir, 0o755))
	for _, entry := range strings.Split(entries, "\n") {
		name, target, isLink := strings.Cut(entry, " -> ")
		name, text, _ := strings.Cut(name, " = ")
		path := filepath.Join(dir, name)
		check(os.MkdirAll(filepath.Dir(path), 0o755))
		switch {
		case entry == "":
		case isLink:
			check(os.Symlink(target, path))
		case strings.HasSuffix(name, "/"):
			check(os.MkdirAll(path, 0o755))
		default:
			check(os.WriteFile(path, []byte(strings.ReplaceAll(text, `\n`, "\n")), 0o644))
		}
	}
}

// derivations turns lines "true 5 a b" into the attribute's text.
func derivations(dir, lines string) string {
	var b strings.Builder
	for _, line := range strings.Split(lines, "\n") {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] == "raw" {
			b.WriteString(strings.TrimPrefix(line, "raw"))
			continue
		}
		fmt.Fprintf(&b, "%s %s %d ", words[0], words[1], len(words)-2)
		for _, name := range words[2:] {
			b.WriteString(filepath.Join(dir, name) + " ")
		}
	}
	return b.String()
}

// tree prints all below a directory, sorted, one line each.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir():
			fmt.Fprintf(&b, "%s/\n", name)
		case entry.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s -> %s\n", name, target)
		default:
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s executable=%v %q\n", name, info.Mode()&0o100 != 0, text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
