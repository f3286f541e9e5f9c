package localstore_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// git names the same tree and the same file as we do; the names are in another
// order there than in an archive.
func TestHashAsGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		missing(t, "git")
	}
	files := map[string]string{"a/f": "file", "a.b": "x", "a-b": "y", "a0": "z", "a/deep/er": strings.Repeat("long ", 100_000),
		"empty": "", "run": "#!", "link": "->a/f", "dir.d/x": "1", "dir/x": "2", "ä": "not ASCII"}
	for algorithm, format := range map[nixhash.Algorithm]string{nixhash.SHA1: "sha1", nixhash.SHA256: "sha256"} {
		top := tree(t, files)
		must(t, os.Chmod(top+"/run", 0o755))
		git := func(args ...string) string {
			t.Helper()
			c := exec.Command("git", args...)
			c.Env = append(os.Environ(), "GIT_DIR="+top+".git", "GIT_WORK_TREE="+top, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
			c.Dir = top
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("git %v: %v\n%s", args, err, out)
			}
			return strings.TrimSpace(string(out))
		}
		git("init", "-q", "--object-format="+format)
		git("add", "-A", "-f")
		for file, want := range map[string]string{"": git("write-tree"), "/a.b": git("hash-object", "a.b"), "/run": git("hash-object", "run")} {
			if got, err := localstore.HashTree(top+file, storepath.Git, algorithm); err != nil || got.Base16() != want {
				t.Errorf("%v of '%s': %s %v, git has %s", algorithm, file, got.Base16(), err, want)
			}
		}
	}
}
