package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"troupe/actors/ports/remotestore/sshdtest"
)

// TestRemoteSubstituters fetches from a store of the real Nix on another machine, over
// both of its protocols, and from what nobody can reach.
func TestRemoteSubstituters(t *testing.T) {
	c := newNixCache(t)
	want := nixFacts(t, c.env, c.nix, []string{c.out})
	machine := sshdtest.Start(t, "NIX_CONF_DIR="+t.TempDir(), "NIX_REMOTE=", "HOME="+t.TempDir())
	for _, scheme := range []string{"ssh-ng", "ssh"} {
		from := machine.URL(scheme, "max-connections=3&remote-store="+url.QueryEscape(c.nix))
		store, name := t.TempDir(), strings.Split(from, "?")[0]
		out, said, err := c.troupe(store, append([]string{"build", c.drv + "^out"}, c.options("ssh-ng://root@127.0.0.1:1", from)...)...)
		if err != nil || strings.TrimSpace(out) != c.out || !strings.Contains(said, "fetching top from "+name) || strings.Contains(said, "building") {
			t.Fatalf("%s: %v\n%s%s", scheme, err, out, said)
		}
		if !strings.Contains(said, "substituter 'ssh-ng://root@127.0.0.1:1' is not used: ") || !strings.Contains(said, "Connection refused") {
			t.Errorf("of who cannot be reached is said\n%s", said)
		}
		if diff := cmp.Diff(want, troupeFacts(t, c.env, store, []string{c.out})); diff != "" {
			t.Errorf("%s: Nix has -, troupe +:\n%s", scheme, diff)
		}
		if _, said, err := c.troupe(store, "verify", "--contents"); err != nil || !strings.Contains(said, " 0 wrong") {
			t.Errorf("%s: %v\n%s", scheme, err, said)
		}
	}
	from := machine.URL("ssh-ng", "remote-store="+url.QueryEscape(c.nix))
	args := append([]string{"build", c.out}, c.options(from)...)
	args[7] = "other-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	if _, said, err := c.troupe(t.TempDir(), args...); err == nil || !strings.Contains(said, "it's not signed by any of the keys") {
		t.Errorf("by a key that nobody trusts: %v\n%s", err, said)
	}
}
