package main

import "testing"

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
