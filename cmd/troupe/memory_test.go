package main

import (
	"testing"

	"troupe/actors/ports/caches"
)

// Where it is remembered what caches say, by the store and the environment.
func TestMemory(t *testing.T) {
	t.Setenv("HOME", "/h")
	system := location{StateDir: "/nix/var/nix"}
	const name = "/troupe/narinfos/337aabcdd2de5680aab9f89370c82118"
	for _, c := range []struct {
		xdg, nix, force string
		l               location
		want            caches.Memory
	}{
		{"", "", "", system, caches.Memory{Dir: "/h/.cache" + name, Marker: "/h/.cache/nix/binary-cache-troupe"}},
		{"/c", "", "", system, caches.Memory{Dir: "/c" + name, Marker: "/c/nix/binary-cache-troupe"}},
		{"/c", "/n", "", system, caches.Memory{Dir: "/c" + name, Marker: "/n/binary-cache-troupe"}},
		{"relative", "", "1", system, caches.Memory{Dir: "/h/.cache" + name, Marker: "/h/.cache/nix/binary-cache-troupe", Files: true}},
		{"/c", "/n", "0", location{Root: "/r", StateDir: "/r/nix/var/nix"}, caches.Memory{Dir: "/r/nix/var/nix/troupe/narinfos"}},
	} {
		t.Setenv("XDG_CACHE_HOME", c.xdg)
		t.Setenv("NIX_CACHE_HOME", c.nix)
		t.Setenv("_NIX_FORCE_HTTP", c.force)
		if got := memory(c.l); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c, got, c.want)
		}
	}
}
