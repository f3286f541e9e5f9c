package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// buildHook is Nix's own, which Debian has at this place.
const buildHook = "/usr/libexec/nix/build-remote"

// needHook ends a test where it is missing.
func needHook(t *testing.T) {
	t.Helper()
	needNix(t)
	needBuilds(t)
	if _, err := os.Stat(buildHook); err != nil {
		lacking(t, buildHook)
	}
	if os.Geteuid() != 0 {
		t.Skip("the other machine's store is entered by root")
	}
}

// machine is a store of this machine's that Nix takes for that of another, as the
// setting builders has it.
func (s *site) machine(name, rest string) string {
	return fmt.Sprintf("ssh-ng://localhost?remote-store=%s - - %s", s.at(name), rest)
}

// onMachine counts what was built there.
func (s *site) onMachine(name string) int {
	logs, err := filepath.Glob(s.at(name) + "/nix/var/log/nix/drvs/*/*")
	s.must(err)
	return len(logs)
}

// settings are added to those of the daemon.
func (s *site) settings(lines ...string) {
	s.write("daemon/nix.conf", s.read("daemon/nix.conf")+strings.Join(lines, "\n")+"\n")
}

// TestNixsHook builds by way of the real build-remote of Nix, which comes to the
// daemon for what it needs, and adds what it made while the daemon has its lock.
func TestNixsHook(t *testing.T) {
	needHook(t)
	s := newSite(t, 0, "")
	s.addExpressions()
	s.settings("build-users-group =", "build-hook = "+buildHook, "builders = "+s.machine("machine", "2 1"), "system-features = here")
	d := s.daemon()
	out := s.want(`nix-build graph.nix -A top -o result -j0 && cat result && nix log $(readlink result)`)
	if !strings.HasSuffix(out, "building top") || !strings.Contains(out, "-leaf") {
		t.Errorf("got %s", out)
	}
	if n := s.onMachine("machine"); n != 2 {
		t.Errorf("%d builds were made on the machine", n)
	}
	o := s.say(s.client(`nix-build graph.nix -A bad --no-out-link -j0`))
	for _, want := range []string{"on 'ssh-ng://localhost", "failed with exit code 3", "the reason"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("exit code %d, without %q:\n%s", o.code, want, o.stderr)
		}
	}
	if o := s.say(s.client(`nix-build graph.nix -A beside --no-out-link -j0 --builders ''`)); !strings.Contains(o.stderr, "max-jobs") {
		t.Errorf("without builders: %d, %s", o.code, o.stderr)
	}
	d.stop()
}

// oldHookScript speaks the form of Nix 1, leaves outputs in their places, and lies of
// those whose name has "silent" in it.
const oldHookScript = `#!/bin/sh
read willing platform drv features; echo "# accept" >&2
read inputs; read outputs; echo "building $drv" >&4
case $outputs in *silent*) exit 0;; esac
for o in $outputs; do echo made > $o; done
`

// TestOldHookLeavesOutputs: what a hook of Nix 1 leaves in the store is taken, and
// what it does not leave is missed.
func TestOldHookLeavesOutputs(t *testing.T) {
	needNix(t)
	needBuilds(t)
	s := newSite(t, os.Geteuid(), "")
	s.addExpressions()
	s.must(os.WriteFile(s.at("bin/old-hook"), []byte(oldHookScript), 0o755))
	d := s.start(s.env("daemon", oldHook+"="+s.at("bin/old-hook")), "troupe", "daemon", "--socket", s.at("socket"))
	d.hears("READY=1")
	got := s.want(`nix-build graph.nix -A top -o result -j0 >/dev/null && cat result && nix log $(readlink result) && nix-store --verify --check-contents`)
	if !strings.HasPrefix(got, "made\nbuilding ") {
		t.Errorf("got %q", got)
	}
	if o := s.say(s.client(`nix-build graph.nix -A silent --no-out-link -j0`)); o.code == 0 || !strings.Contains(o.stderr, "failed to produce output path for output 'out'") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
	d.stop()
}

// TestMachineIsOurselves: a machine that leads back to the daemon is none.
func TestMachineIsOurselves(t *testing.T) {
	needNix(t)
	needBuilds(t)
	s := newSite(t, os.Geteuid(), "")
	s.addExpressions()
	s.settings("builders = unix://" + s.at("socket") + " - - 2 1")
	d := s.daemon()
	o := s.say(s.client(`nix-build graph.nix -A leaf --no-out-link`))
	if o.code != 0 || !strings.Contains(o.stderr, "is this very daemon") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
	d.stop()
}
