package docs_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// topLevel is all that may lie at the top, beside files that begin with a dot.
var topLevel = []string{"LICENSE", "README.md", "actors", "cmd", "docs", "go.mod", "go.sum", "messages", "sandbox", "storage"}

// longFiles may have more than 500 lines, each for the reason given.
var longFiles = map[string]string{}

// outside finds what names a place that only one machine has: a home, a
// checkout, or a directory that the tree stands in.
var outside = regexp.MustCompile(`/root/[a-z.]|/home/[a-z]+/|(^|[\s"'(=])/work/|\.\./shared/`)

// elsewhere lists the files that may match outside, each for the reason given.
var elsewhere = map[string]string{
	"docs/tree_test.go": "has the pattern itself",
}

// TestTopLevel keeps the top of the tree to what it has always been.
func TestTopLevel(t *testing.T) {
	seen := map[string]bool{}
	for _, path := range files(t) {
		first, _, _ := strings.Cut(path, "/")
		seen[first] = true
	}
	for name := range seen {
		if !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) {
			t.Errorf("%s lies at the top of the tree; it belongs in one of %s", name, strings.Join(topLevel, " "))
		}
	}
}

// TestFileLength finds files that want to be two.
func TestFileLength(t *testing.T) {
	for _, path := range files(t) {
		if !strings.HasSuffix(path, ".go") {
			continue
		}
		lines := bytes.Count(read(t, path), []byte("\n"))
		if _, excused := longFiles[path]; lines > 500 && !excused {
			t.Errorf("%s has %d lines, more than 500", path, lines)
		}
	}
}

// TestStandsAlone finds files that name a place outside the repository that
// nobody else has.
func TestStandsAlone(t *testing.T) {
	for _, path := range files(t) {
		if _, excused := elsewhere[path]; excused || strings.Contains(path, "/testdata/") {
			continue
		}
		for i, line := range strings.Split(string(read(t, path)), "\n") {
			if found := outside.FindString(line); found != "" {
				t.Errorf("%s:%d names %q, which is outside the repository", path, i+1, strings.TrimSpace(found))
			}
		}
	}
}

// files lists the files of the tree that are kept, relative to its top. Without
// git, or outside a checkout, that is every file.
func files(t *testing.T) (paths []string) {
	t.Helper()
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = ".."
	if out, err := cmd.Output(); err == nil {
		for _, path := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
			if info, err := os.Lstat(filepath.Join("..", path)); err == nil && info.Mode().IsRegular() {
				paths = append(paths, path)
			}
		}
		return paths
	}
	err := fs.WalkDir(os.DirFS(".."), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && !strings.HasPrefix(path, ".git/") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
