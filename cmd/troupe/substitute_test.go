package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// nixCache is a binary cache that the real Nix wrote.
type nixCache struct {
	env      []string
	dir, nix string   // the cache, and the store that it was written from
	drv, out string   // "top" of the graph, the derivation and what it made
	closure  []string // of out
	public   string   // the key that all in it is signed by
}

// newNixCache builds the graph with Nix and copies it, derivations too.
func newNixCache(t *testing.T) nixCache {
	t.Helper()
	for _, tool := range []string{"nix", "nix-store", "nix-instantiate", "busybox"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is missing: %v", tool, err)
			}
			t.Skipf("%s is missing", tool)
		}
	}
	work := t.TempDir()
	c := nixCache{dir: work + "/cache", nix: work + "/nix",
		env: append(os.Environ(), "NIX_CONF_DIR="+work, "NIX_REMOTE=", "HOME="+work, "XDG_CACHE_HOME="+work+"/seen")}
	command(t, c.env, "nix-store", "--generate-binary-cache-key", "cache-1", work+"/secret", work+"/public")
	key, err := os.ReadFile(work + "/public")
	if err != nil {
		t.Fatal(err)
	}
	c.public = string(key)
	c.drv = strings.TrimSpace(command(t, c.env, "nix-instantiate", "--store", c.nix, writeGraph(t, work), "-A", "top"))
	c.out = strings.TrimSpace(command(t, c.env, "nix-store", "--store", c.nix, "--realise", c.drv,
		"--option", "sandbox", "false", "--option", "build-users-group", "", "--option", "substituters", "", "--option", "secret-key-files", work+"/secret"))
	c.closure = strings.Fields(command(t, c.env, "nix-store", "--store", c.nix, "--query", "--requisites", c.out))
	return c
}

// copy fills the cache anew.
func (c nixCache) copy(t *testing.T, compression string) {
	t.Helper()
	if err := os.RemoveAll(c.dir); err != nil {
		t.Fatal(err)
	}
	command(t, c.env, "nix", "--extra-experimental-features", "nix-command", "--store", c.nix, "copy", "--to",
		"file://"+c.dir+"?compression="+compression+"&secret-key="+filepath.Dir(c.dir)+"/secret", c.out)
	command(t, c.env, "nix", "--extra-experimental-features", "nix-command", "--store", c.nix, "copy", "--derivation", "--to",
		"file://"+c.dir+"?compression="+compression+"&secret-key="+filepath.Dir(c.dir)+"/secret", c.drv)
}

// troupe runs the program on a store of its own and returns what it said.
func (c nixCache) troupe(store string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.Command("troupe", append([]string{"--store", store}, args...)...)
	cmd.Env = c.env
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	return out.String(), said.String(), err
}

func (c nixCache) options(caches ...string) []string {
	return []string{"--option", "substituters", strings.Join(caches, " "), "--option", "trusted-public-keys", c.public,
		"--option", "download-attempts", "2"}
}

// TestNixsCache fetches what Nix wrote, in every compression, from a directory and
// from a server, and holds it against what Nix has.
func TestNixsCache(t *testing.T) {
	c := newNixCache(t)
	want := nixFacts(t, c.env, c.nix, []string{c.out})
	for _, compression := range []string{"none", "xz", "zstd", "bzip2", "gzip", "br"} {
		c.copy(t, compression)
		server := httptest.NewServer(http.FileServer(http.Dir(c.dir)))
		for _, url := range []string{"file://" + c.dir, server.URL} {
			store := t.TempDir()
			// The derivation is not there: it is fetched, and what it makes too.
			out, said, err := c.troupe(store, append([]string{"build", c.drv + "^out"}, c.options(url)...)...)
			if err != nil || strings.TrimSpace(out) != c.out || !strings.Contains(said, "fetching top from "+url) || strings.Contains(said, "building") {
				t.Fatalf("%s, %s: %v\n%s%s", compression, url, err, out, said)
			}
			if diff := cmp.Diff(want, troupeFacts(t, c.env, store, []string{c.out})); diff != "" {
				t.Errorf("%s, %s: Nix has -, troupe +:\n%s", compression, url, diff)
			}
			if _, said, err := c.troupe(store, "verify", "--contents"); err != nil || !strings.Contains(said, " 0 wrong") {
				t.Errorf("%s, %s: %v\n%s", compression, url, err, said)
			}
		}
		server.Close()
	}
}

// spoil changes a file of the cache, of the path whose name ends so.
func (c nixCache) spoil(t *testing.T, suffix string, change func(narinfo, nar string) error) {
	t.Helper()
	for _, p := range c.closure {
		if !strings.HasSuffix(p, suffix) {
			continue
		}
		file := c.dir + "/" + filepath.Base(p)[:32] + ".narinfo"
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, url, _ := strings.Cut(string(text), "URL: ")
		url, _, _ = strings.Cut(url, "\n")
		if err := change(file, c.dir+"/"+url); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("nothing is called %s in %v", suffix, c.closure)
}

// TestWhatCachesDoWrong: what cannot be fetched is told, built, or fetched from
// elsewhere, and nothing wrong gets into the store.
func TestWhatCachesDoWrong(t *testing.T) {
	c := newNixCache(t)
	truncate := func(_, nar string) error { return os.Truncate(nar, 50) }
	gone := func(_, nar string) error { return os.Remove(nar) }
	forget := func(narinfo, _ string) error { return os.Remove(narinfo) }
	rename := func(narinfo, _ string) error {
		text, err := os.ReadFile(narinfo)
		if err != nil {
			return err
		}
		return os.WriteFile(narinfo, bytes.Replace(text, []byte("NarSize: "), []byte("NarSize: 1"), 1), 0o644)
	}
	c.copy(t, "none")
	good := filepath.Dir(c.dir) + "/good"
	if err := os.Rename(c.dir, good); err != nil {
		t.Fatal(err)
	}
	url := "file://" + c.dir
	for what, test := range map[string]struct {
		change func(narinfo, nar string) error
		args   []string // beside "build top.drv" and the options for the cache
		want   string   // in what is said
		failed bool
		built  string // a path that is built
	}{
		"cut short":                {change: truncate, want: "hash mismatch importing path", failed: true},
		"cut short, with fallback": {change: truncate, args: []string{"--option", "fallback", "true"}, built: "leaf"},
		"another has it":           {change: truncate, args: []string{"--option", "extra-substituters", "file://" + good + "?priority=90"}, want: "fetching leaf from file://" + good},
		"the NAR is gone":          {change: gone, want: "does not exist in binary cache", built: "leaf"},
		"the closure has a hole":   {change: forget, built: "leaf"},
		"its record was changed":   {change: rename, want: "ignoring substitute for", built: "leaf"},
		"the key is another": {change: func(_, _ string) error { return nil },
			args: []string{"--option", "trusted-public-keys", ""}, want: "ignoring substitute for", built: "leaf"},
		"no signature is asked for": {change: rename, args: []string{"--option", "require-sigs", "false"}, want: "size mismatch importing path", failed: true},
		"nothing is to be fetched":  {change: gone, args: []string{"--option", "substitute", "false"}, built: "leaf"},
	} {
		t.Run(what, func(t *testing.T) {
			if err := os.RemoveAll(c.dir); err != nil {
				t.Fatal(err)
			}
			command(t, c.env, "cp", "-r", good, c.dir)
			c.spoil(t, "-leaf", test.change)
			store := t.TempDir()
			_, said, err := c.troupe(store, append(append([]string{"build", c.nix + c.drv}, c.options(url)...), test.args...)...)
			if (err != nil) != test.failed || !strings.Contains(said, test.want) {
				t.Errorf("%v, want failed %v and %q\n%s", err, test.failed, test.want, said)
			}
			if test.built != "" && !strings.Contains(said, "building "+test.built) {
				t.Errorf("%s is not built\n%s", test.built, said)
			}
			if _, said, err := c.troupe(store, "verify", "--contents"); err != nil || !strings.Contains(said, " 0 wrong") {
				t.Errorf("the store is wrong: %v\n%s", err, said)
			}
		})
	}
}

// TestNobodyAnswers builds although the only substituter cannot be reached: it is
// done without, which is said once.
func TestNobodyAnswers(t *testing.T) {
	c := newNixCache(t)
	_, said, err := c.troupe(t.TempDir(), append([]string{"build", c.nix + c.drv}, c.options("https://nobody.invalid/")...)...)
	if err != nil || strings.Count(said, "substituter 'https://nobody.invalid' is not used:") != 1 || !strings.Contains(said, "building top") {
		t.Errorf("%v\n%s", err, said)
	}
}
