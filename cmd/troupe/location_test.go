package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLocate(t *testing.T) {
	const anybody = 1000
	for _, c := range []struct {
		name, flag string
		env        map[string]string
		served     string // socket that somebody listens at
		theirs     bool   // what is not served
		want       string // the state directory
	}{
		{"a directory of the user's", "", nil, "", false, "/data/troupe/nix/var/nix"},
		{"the machine's, which a daemon serves", "", nil, "/nix/var/nix/daemon-socket/socket", false, "/nix/var/nix"},
		{"the machine's, which is theirs", "", nil, "", true, "/nix/var/nix"},
		{"a socket elsewhere", "", map[string]string{"NIX_DAEMON_SOCKET_PATH": "/run/s"}, "/run/s", false, "/nix/var/nix"},
		{"the flag's", "/x", nil, "/nix/var/nix/daemon-socket/socket", true, "/x/nix/var/nix"},
		{"the environment's", "", map[string]string{"NIX_STATE_DIR": "/s"}, "", false, "/s"},
	} {
		env := func(name string) (string, bool) {
			if name == "XDG_DATA_HOME" {
				return "/data", true
			}
			v, ok := c.env[name]
			return v, ok
		}
		got, err := locate(c.flag, env, anybody, func(socket string) bool { return socket == c.served }, func(location) bool { return c.theirs })
		if err != nil || got.StateDir != c.want {
			t.Errorf("%s: %s, %v; want %s", c.name, got.StateDir, err, c.want)
		}
	}
}

// A store is a user's own that can be written, unless Nix has it.
func TestTheirs(t *testing.T) {
	l := location{StateDir: filepath.Join(t.TempDir(), "state")}
	step := func(want bool, after string) {
		t.Helper()
		if got := theirs(l); got != want {
			t.Errorf("%s: %v", after, got)
		}
	}
	step(false, "nothing is there")
	if err := os.MkdirAll(filepath.Join(l.StateDir, "db"), 0o755); err != nil {
		t.Fatal(err)
	}
	step(true, "it is empty")
	if err := os.WriteFile(filepath.Join(l.StateDir, "db", "db.sqlite"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	step(false, "Nix has it")
	if err := os.MkdirAll(databaseDir(l), 0o755); err != nil {
		t.Fatal(err)
	}
	step(true, "it was adopted")
}

// TestStoreFlag: a directory, and the ways in which Nix's clients name a store to the
// program at the other end.
func TestStoreFlag(t *testing.T) {
	t.Chdir("/")
	for text, want := range map[string]string{
		"":                                 "",
		"a":                                "/a",
		"/a b":                             "/a b",
		"local":                            "",
		"local?root=/a":                    "/a",
		"/a?system-features=foo%20bar":     "/a system-features=foo bar",
		"local?root=/a&system-features=x":  "/a system-features=x",
		"/a?real=/b":                       "setting 'real' is not known",
		"ssh-ng://a":                       "it is no store's URL",
		"/a?system-features=x&root=/other": "/other system-features=x",
	} {
		root, more, err := storeFlag(text)
		got := root
		for _, o := range more {
			got += " " + o.Name + "=" + o.Value
		}
		if err != nil {
			got, _, _ = strings.Cut(err.Error(), "\n")
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// A store that lies in a directory is not served at the socket of the machine's.
func TestSocketOfADirectory(t *testing.T) {
	env := func(name string) (string, bool) { return "/run/s", name == "NIX_DAEMON_SOCKET_PATH" }
	for root, want := range map[string]string{"": "/run/s", "/x": "/x/nix/var/nix/daemon-socket/socket"} {
		if got := daemonSocket(location{Root: root, StateDir: root + "/nix/var/nix"}, env); got != want {
			t.Errorf("%q: %s, want %s", root, got, want)
		}
	}
}
