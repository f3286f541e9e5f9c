package main

import (
	"os"
	"testing"
)

// TestNixsHook builds by way of the real "nix __build-remote".
func TestNixsHook(t *testing.T) {
	needNix(t)
	needBuilds(t)
	if os.Geteuid() != 0 {
		t.Skip("the machine's own store needs root")
	}
	s := newSite(t, 0, "")
	s.addExpressions()
	conf := s.read("daemon/nix.conf")
	s.write("daemon/nix.conf", conf+"build-hook = nix --extra-experimental-features nix-command __build-remote\n"+
		"experimental-features = nix-command\nbuilders = ssh-ng://localhost?remote-store="+s.at("machine")+" - - 2 1\n")
	d := s.daemon()
	t.Log(s.say(s.client(`nix-build graph.nix -A top -o result && cat result; nix log $(readlink result)`)))
	t.Log(d.said())
	d.stop()
}
