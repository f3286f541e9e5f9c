package main

import (
	"strings"
	"testing"
)

func TestLocate(t *testing.T) {
	const anybody = 1000
	for _, c := range []struct {
		name, flag string
		env        map[string]string
		served     string // socket that somebody listens at
		want       string // the state directory
	}{
		{"a directory of the user's", "", nil, "", "/data/troupe/nix/var/nix"},
		{"the machine's, which a daemon serves", "", nil, "/nix/var/nix/daemon-socket/socket", "/nix/var/nix"},
		{"a socket elsewhere", "", map[string]string{"NIX_DAEMON_SOCKET_PATH": "/run/s"}, "/run/s", "/nix/var/nix"},
		{"the flag's", "/x", nil, "/nix/var/nix/daemon-socket/socket", "/x/nix/var/nix"},
		{"the environment's", "", map[string]string{"NIX_STATE_DIR": "/s"}, "", "/s"},
	} {
		env := func(name string) (string, bool) {
			if name == "XDG_DATA_HOME" {
				return "/data", true
			}
			v, ok := c.env[name]
			return v, ok
		}
		got, err := locate(c.flag, env, anybody, func(socket string) bool { return socket == c.served })
		if err != nil || got.StateDir != c.want {
			t.Errorf("%s: %s, %v; want %s", c.name, got.StateDir, err, c.want)
		}
	}
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
