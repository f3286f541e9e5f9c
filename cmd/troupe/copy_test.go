package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"troupe/actors/ports/remotestore/sshdtest"
)

// must is troupe that does not fail; what it said is returned.
func (c nixCache) must(t *testing.T, store string, args ...string) string {
	t.Helper()
	_, said, err := c.troupe(store, args...)
	if err != nil {
		t.Fatalf("troupe %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return said
}

// puts serves a directory to those who read and write it.
func puts(t *testing.T, dir string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			http.FileServer(http.Dir(dir)).ServeHTTP(w, r)
			return
		}
		text, err := io.ReadAll(r.Body)
		file := filepath.Join(dir, r.URL.Path)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(file), 0o755)
		}
		if err == nil {
			err = os.WriteFile(file, text, 0o644)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestCopyToCaches: what Nix wrote we copy from its cache, and to caches from which
// Nix reads it; by a key of our own, with listings, and nothing twice.
func TestCopyToCaches(t *testing.T) {
	c := newNixCache(t)
	c.copy(t, "zstd")
	want := nixFacts(t, c.env, c.nix, []string{c.out})
	store, work := t.TempDir(), t.TempDir()
	if _, said, err := c.troupe(store, "copy", "--from", "file://"+c.dir, c.out); err == nil || !strings.Contains(said, "lacks a signature by a trusted key") {
		t.Errorf("by a key that nobody trusts: %v\n%s", err, said)
	}
	c.must(t, store, append([]string{"copy", "--from", "file://" + c.dir, c.out}, c.options()[3:]...)...)
	if diff := cmp.Diff(want, troupeFacts(t, c.env, store, []string{c.out})); diff != "" {
		t.Errorf("Nix has -, troupe +:\n%s", diff)
	}
	command(t, c.env, "nix-store", "--generate-binary-cache-key", "ours-1", work+"/secret", work+"/public")
	key, err := os.ReadFile(work + "/public")
	if err != nil {
		t.Fatal(err)
	}
	for name, settings := range map[string]string{"file": "compression=xz&compression-level=1&parallel-compression=true&write-nar-listing=1", "http": "compression=br"} {
		dir := filepath.Join(work, name)
		to := map[string]string{"file": "file://" + dir, "http": puts(t, dir)}[name]
		said := c.must(t, store, "copy", "--secret-key-file", work+"/secret", "--to", to+"?"+settings, c.out)
		if n := strings.Count(said, "copying path '"); n != len(c.closure) {
			t.Errorf("%s: %d paths are copied, not %d\n%s", name, n, len(c.closure), said)
		}
		if said := c.must(t, store, "copy", "--to", to+"?"+settings, c.out); said != "" {
			t.Errorf("%s: once more:\n%s", name, said)
		}
		if listings, _ := filepath.Glob(dir + "/*.ls"); name == "file" && len(listings) != len(c.closure) {
			t.Errorf("there are %d listings", len(listings))
		}
		root := t.TempDir()
		command(t, c.env, "nix", "--extra-experimental-features", "nix-command", "--store", root, "copy", "--from", to,
			"--option", "trusted-public-keys", string(key), c.out)
		if diff := cmp.Diff(want, nixFacts(t, c.env, root, []string{c.out})); diff != "" {
			t.Errorf("%s: Nix had -, and has +:\n%s", name, diff)
		}
	}
}

// TestWhoseSignaturesCount: what a stock client copies into a daemon's store is signed by
// a key that the client names, where it may, or by one that the daemon signs with itself.
func TestWhoseSignaturesCount(t *testing.T) {
	c := newNixCache(t)
	c.copy(t, "none")
	for _, test := range []struct {
		conf, options string // the daemon's, the client's
		ok            bool
	}{
		{"", "--option fallback true", false},
		{"", "--option trusted-public-keys '" + c.public + "'", true},
		{"", "--option require-sigs false", false},
		{"trusted-users =\n", "--option trusted-public-keys '" + c.public + "'", false},
		{"trusted-users =\nsecret-key-files = " + filepath.Dir(c.dir) + "/secret\n", "", true},
	} {
		conf, root := t.TempDir(), t.TempDir()
		if err := os.WriteFile(conf+"/nix.conf", []byte("substituters =\n"+test.conf), 0o644); err != nil {
			t.Fatal(err)
		}
		daemon := exec.Command("troupe", "--store", root, "daemon", "--socket", conf+"/socket")
		daemon.Env = append(c.env, "NIX_CONF_DIR="+conf)
		if err := daemon.Start(); err != nil {
			t.Fatal(err)
		}
		soon(t, "the daemon ", func() string {
			if !exists(conf + "/socket") {
				return "does not listen"
			}
			return ""
		})
		client := exec.Command("sh", "-c", "nix --extra-experimental-features nix-command copy --from file://"+c.dir+" "+c.out+" "+test.options)
		client.Env = append(c.env, "NIX_REMOTE=unix://"+conf+"/socket")
		said, err := client.CombinedOutput()
		if test.ok != (err == nil) || test.ok == strings.Contains(string(said), "lacks a signature by a trusted key") {
			t.Errorf("%q, %q: %v\n%s", test.conf, test.options, err, said)
		}
		if err := daemon.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := daemon.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// TestCopyToS3 copies to a bucket, and back.
func TestCopyToS3(t *testing.T) {
	c := newNixCache(t)
	c.copy(t, "none")
	bucket := s3mem.New()
	if err := bucket.CreateBucket("ours"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(bucket).Server())
	defer server.Close()
	c.env = append(c.env, "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true")
	s3 := "s3://ours?scheme=http&endpoint=" + strings.TrimPrefix(server.URL, "http://")
	one, two := t.TempDir(), t.TempDir()
	c.must(t, one, "copy", "--no-check-sigs", "--from", "file://"+c.dir, c.out)
	c.must(t, one, "copy", "--to", s3, c.out)
	c.must(t, two, append([]string{"copy", "--from", s3, c.out}, c.options()[3:]...)...)
	if diff := cmp.Diff(troupeFacts(t, c.env, one, []string{c.out}), troupeFacts(t, c.env, two, []string{c.out})); diff != "" {
		t.Errorf("there -, here +:\n%s", diff)
	}
	if said := c.must(t, t.TempDir(), append([]string{"build", c.out}, c.options(s3)...)...); !strings.Contains(said, "fetching top from s3://ours") {
		t.Errorf("as a substituter:\n%s", said)
	}
}

// TestCopyToStores copies to a store of the real Nix on another machine, over both of
// its protocols, from there to a store in a directory, and from that one on.
func TestCopyToStores(t *testing.T) {
	c := newNixCache(t)
	want := nixFacts(t, c.env, c.nix, []string{c.out})
	machine := sshdtest.Start(t, "NIX_CONF_DIR="+t.TempDir(), "NIX_REMOTE=", "HOME="+t.TempDir())
	there := func(scheme, store string) string {
		return machine.URL(scheme, "max-connections=2&remote-store="+url.QueryEscape(store))
	}
	for _, scheme := range []string{"ssh-ng", "ssh"} {
		one, two, target := t.TempDir(), t.TempDir(), t.TempDir()
		c.must(t, one, append([]string{"copy", "--from", there(scheme, c.nix), "--to", two, c.out}, c.options()[3:]...)...)
		c.must(t, one, "copy", "--no-check-sigs", "--from", "local?root="+two, c.out)
		if diff := cmp.Diff(want, troupeFacts(t, c.env, one, []string{c.out})); diff != "" {
			t.Errorf("%s: Nix has -, troupe +:\n%s", scheme, diff)
		}
		c.must(t, one, "copy", "--no-check-sigs", "--to", there(scheme, target), c.out)
		if diff := cmp.Diff(want, nixFacts(t, c.env, target, []string{c.out})); diff != "" {
			t.Errorf("%s: Nix had -, and has +:\n%s", scheme, diff)
		}
		if _, said, err := c.troupe(one, "copy", "--no-recursive", "--to", "file://"+t.TempDir(), c.out); err == nil || !strings.Contains(said, "is not valid") {
			t.Errorf("without what it refers to: %v\n%s", err, said)
		}
	}
	store := t.TempDir()
	c.must(t, store, "copy", "--no-check-sigs", "--from", there("ssh", c.nix), c.out)
	for text, want := range map[string]string{
		"ftp://a":                         "it is no store's URL",
		"ssh-ng://root@127.0.0.1:1":       "Connection refused",
		"auto":                            "both stores are the same",
		"file://" + c.dir + "?store=/gnu": "it is for paths of '/gnu', not of '/nix/store'",
	} {
		if _, said, err := c.troupe(store, "copy", "--to", text, c.out); err == nil || !strings.Contains(said, want) {
			t.Errorf("%s: %v\n%s", text, err, said)
		}
	}
}

// TestNixCopiesToUs: the real Nix copies to a store of ours on another machine, and
// from there, over more than one connection. No daemon runs there.
func TestNixCopiesToUs(t *testing.T) {
	c := newNixCache(t)
	want := nixFacts(t, c.env, c.nix, []string{c.out})
	machine := sshdtest.Start(t, "NIX_CONF_DIR="+t.TempDir(), "NIX_REMOTE=", "HOME="+t.TempDir())
	troupe, err := exec.LookPath("troupe")
	if err != nil {
		t.Fatal(err)
	}
	store, root, program := t.TempDir(), t.TempDir(), t.TempDir()+"/daemon"
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec "+troupe+" --store "+store+" daemon \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	there := "ssh-ng://root@127.0.0.1?remote-program=" + program
	env := append(c.env, "NIX_SSHOPTS="+machine.Options())
	nix := []string{"--extra-experimental-features", "nix-command"}
	command(t, env, "nix", append(nix, "--store", c.nix, "copy", "--no-check-sigs", "--to", there, c.out)...)
	if diff := cmp.Diff(want, troupeFacts(t, c.env, store, []string{c.out})); diff != "" {
		t.Errorf("Nix has -, troupe +:\n%s", diff)
	}
	command(t, env, "nix", append(nix, "--store", root, "copy", "--no-check-sigs", "--from", there, c.out)...)
	if diff := cmp.Diff(want, nixFacts(t, c.env, root, []string{c.out})); diff != "" {
		t.Errorf("Nix had -, and has +:\n%s", diff)
	}
	// The client that has two connections at once is ours.
	two := t.TempDir()
	c.must(t, two, "copy", "--no-check-sigs", "--from", machine.URL("ssh-ng", "max-connections=2&remote-program="+program), c.out)
	if diff := cmp.Diff(want, troupeFacts(t, c.env, two, []string{c.out})); diff != "" {
		t.Errorf("there -, here +:\n%s", diff)
	}
}

// TestCopyOfFloatingOutputs: with a path goes what is known of where outputs lie, so
// that who has the derivation alone need not build it.
func TestCopyOfFloatingOutputs(t *testing.T) {
	needBuilds(t)
	work, instantiate, env := contentStore(t)
	c := nixCache{env: env}
	drv := instantiate("flat")
	command(t, env, "nix-store", "--generate-binary-cache-key", "ours-1", work+"/secret", work+"/public")
	key, err := os.ReadFile(work + "/public")
	if err != nil {
		t.Fatal(err)
	}
	one, two := t.TempDir(), t.TempDir()
	c.must(t, one, "copy", "--no-check-sigs", "--from", "ssh-ng://localhost?remote-store="+work+"/nix", drv)
	out, said, err := c.troupe(one, "build", drv+"^out", "--option", "secret-key-files", work+"/secret")
	if err != nil || !strings.Contains(said, "building flat") {
		t.Fatalf("%v\n%s", err, said)
	}
	cache := "file://" + work + "/cache"
	c.must(t, one, "copy", "--option", "secret-key-files", work+"/secret", "--to", cache, strings.TrimSpace(out))
	c.must(t, two, "copy", "--no-check-sigs", "--from", "local?root="+one, drv)
	again, said, err := c.troupe(two, "build", drv+"^out", "--option", "substituters", cache, "--option", "trusted-public-keys", string(key))
	if err != nil || again != out || strings.Contains(said, "building") {
		t.Errorf("%v: %s, and there %s\n%s", err, again, out, said)
	}

	// Stores that do not say what is known of a path are asked by the derivation.
	server := httptest.NewServer(http.FileServer(http.Dir(work + "/cache")))
	defer server.Close()
	command(t, env, "nix-store", "--store", work+"/nix", "--realise", drv, "--option", "secret-key-files", work+"/secret",
		"--option", "build-users-group", "", "--option", "substituters", "")
	troupe, err := exec.LookPath("troupe")
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{cache, server.URL, "ssh-ng://localhost?remote-store=" + work + "/nix", "local?root=" + one,
		"ssh-ng://localhost?remote-program=" + url.QueryEscape(troupe+" daemon") + "&remote-store=" + one} {
		store, other := t.TempDir(), t.TempDir()
		c.must(t, store, "copy", "--no-check-sigs", "--from", "local?root="+one, drv)
		if said := c.must(t, store, "copy", "--from", from, drv+"^out"); !strings.Contains(said, "it lacks a signature by a trusted key") {
			t.Errorf("%s: of a key that nobody trusts is said\n%s", from, said)
		}
		c.must(t, store, "copy", "--from", from, "--option", "trusted-public-keys", string(key), drv+"^*")
		if got, said, err := c.troupe(store, "build", drv+"^out", "--max-jobs", "0", "--option", "substituters", ""); err != nil || got != out {
			t.Errorf("%s: %v: %s, and there %s\n%s", from, err, got, out, said)
		}
		// And on to the real Nix.
		c.must(t, store, "copy", "--no-check-sigs", "--to", "ssh-ng://localhost?remote-store="+other, drv, drv+"^out")
		if got := command(t, env, "nix-store", "--store", other, "--realise", drv, "--max-jobs", "0", "--option", "substituters", ""); got != out {
			t.Errorf("%s: Nix has it at %s", from, got)
		}
	}
	if _, said, err := c.troupe(t.TempDir(), "copy", "--from", "local?root="+one, drv+"^none"); err == nil || !strings.Contains(said, "does not have an output named 'none'") {
		t.Errorf("%v\n%s", err, said)
	}
}
