package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// resolving is a derivation that is resolved into another, which never ends.
const resolving = `
let
  box = builtins.path { name = "box"; path = BOX; };
  d = name: more: derivation ({ inherit name; system = builtins.currentSystem; builder = "${box}/bin/busybox"; } // more);
  below = d "below" { args = [ "sh" "-c" "echo > $out" ]; __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
in d "waits" { args = [ "sh" "-c" "echo begun; ${box}/bin/busybox sleep 98765" ]; inherit below; }
`

// TestResolvedIsGarbage: of a build that was given up nothing is needed, neither
// the derivation that was resolved for it nor what that refers to.
func TestResolvedIsGarbage(t *testing.T) {
	s := newService(t, "experimental-features = ca-derivations")
	s.write("resolving.nix", strings.ReplaceAll(resolving, "BOX", s.at("box")))
	s.write("client/nix.conf", "experimental-features = nix-command ca-derivations\nsubstituters =\n")
	d := s.daemon()
	cmd, said := s.client("exec nix-build --no-out-link resolving.nix"), &lines{}
	cmd.Stderr = said
	s.must(cmd.Start())
	said.await(t, "begun")
	s.must(cmd.Process.Signal(unix.SIGINT))
	if err := cmd.Wait(); err == nil {
		t.Errorf("it is built:\n%s", said)
	}
	soon(t, "", func() string {
		if left := s.want("nix-store --gc > /dev/null; nix path-info --all"); left != "" {
			return "for nobody there are left:\n" + left
		}
		return ""
	})
	d.stop()
}

// TestFeaturesAreOff: a derivation that takes an experimental feature is not even
// taken where the daemon has that off, whatever its client says. The words were
// held against those of Nix 2.34.8.
func TestFeaturesAreOff(t *testing.T) {
	s := newService(t, "")
	s.write("client/nix.conf", "experimental-features = nix-command ca-derivations impure-derivations\nsubstituters =\n")
	d := s.daemon()
	for feature, with := range map[string]string{
		"ca-derivations":     `__contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";`,
		"impure-derivations": `__impure = true;`,
	} {
		o := s.say(s.client(`nix-instantiate -E 'derivation { name = "x"; system = "x"; builder = "x"; ` + with + ` }'`))
		want := "experimental Nix feature '" + feature + "' is disabled; add '--extra-experimental-features " + feature + "' to enable it"
		if o.code == 0 || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: %+v", feature, o)
		}
	}
	d.stop()
}
