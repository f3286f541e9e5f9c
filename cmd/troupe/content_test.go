package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// contentGraph is instantiated by the real Nix: outputs whose paths are not known
// before they are built, and what is built with them. None refers to itself, which
// older ones name otherwise than we do (decision 8).
const contentGraph = `
let
  box = builtins.path { name = "box"; path = BOX; };
  d = name: script: extra: derivation ({
    inherit name; system = builtins.currentSystem; builder = "${box}/bin/busybox"; PATH = "${box}/bin";
    args = [ "sh" "-e" "-c" script ];
  } // extra);
  ca = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
  roots = seed: d "root" "mkdir $out; echo ${leaf} > $out/leaf; ln -s ${leaf} $out/self; ln -s $out $dev; echo $dev $out > $doc" (ca // { inherit seed; outputs = [ "out" "dev" "doc" ]; });
  leaf = d "leaf" "echo leaf > $out" { };
in rec {
  root = roots 1;
  again = roots 2;
  flat = d "flat" "echo flat > $out" (ca // { outputHashMode = "flat"; });
  sha1 = d "sha1" "mkdir $out; echo sha1 > $out/file" (ca // { outputHashAlgo = "sha1"; });
  on = root: d "on" "cat ${root}/self > $out; echo ${root.doc} >> $out" ca;
  deferred = d "deferred" "echo ${on root} ${root.dev} > $out; cat ${flat} ${sha1}/file >> $out; mkdir $lib; ln -s $out $lib/out" { outputs = [ "out" "lib" ]; };
  cut = on again;
  top = d "top" "echo ${deferred} ${deferred.lib} > $out" { };
  impure = d "impure" "cat /proc/sys/kernel/random/uuid > $out" (ca // { __contentAddressed = false; __impure = true; });
  random = d "random" "cat /proc/sys/kernel/random/uuid > $out" ca;
  pure = d "pure" "cat ${impure} > $out" { };
}
`

// contentStore has contentGraph instantiated in a store of Nix's own.
func contentStore(t *testing.T) (work string, instantiate func(attribute string) string, env []string) {
	t.Helper()
	for _, tool := range []string{"nix", "nix-store", "nix-instantiate", "busybox"} {
		if _, err := exec.LookPath(tool); err != nil {
			lacking(t, tool)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("comparing with Nix's sandbox needs root")
	}
	work = t.TempDir()
	file := writeGraph(t, work)
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(contentGraph, "BOX", work+"/box")), 0o644); err != nil {
		t.Fatal(err)
	}
	env = append(os.Environ(), "NIX_CONF_DIR="+work, "NIX_REMOTE=", "HOME="+work,
		"NIX_CONFIG=experimental-features = nix-command ca-derivations impure-derivations")
	return work, func(attribute string) string {
		return strings.TrimSpace(command(t, env, "nix-instantiate", "--store", work+"/nix", file, "-A", attribute))
	}, env
}

// TestContentAddressedAsNix holds paths that follow from contents against those
// that Nix comes to.
func TestContentAddressedAsNix(t *testing.T) {
	work, instantiate, env := contentStore(t)
	nix, ours := work+"/nix", work+"/ours"
	top, cut := instantiate("top"), instantiate("cut")
	built := command(t, env, "nix-store", "--store", nix, "--realise", top, cut, "--option", "sandbox", "true", "--option", "build-users-group", "", "--option", "substituters", "")
	out := command(t, env, "troupe", "--store", ours, "build", nix+top, nix+cut)
	if diff := cmp.Diff(strings.Fields(built), strings.Fields(out)); diff != "" {
		t.Fatalf("Nix builds -, troupe +:\n%s", diff)
	}
	paths := strings.Fields(out)
	want, got := nixFacts(t, env, nix, paths), troupeFacts(t, env, ours, paths)
	if diff := cmp.Diff(whoever(want), whoever(got)); diff != "" {
		t.Errorf("Nix has -, troupe +:\n%s", diff)
	}
	if len(want) < 8 {
		t.Errorf("only %d paths were compared", len(want))
	}

	// What is named by its contents is known again, and so is what is built with it.
	if said := combined(t, env, "troupe", "--store", ours, "build", "--dry-run", top, cut, instantiate("root")); strings.Contains(said, "would be built") {
		t.Errorf("it is built again: %s", said)
	}
	command(t, env, "troupe", "--store", ours, "build", "--max-jobs", "0", top, cut)
	if said := combined(t, env, "troupe", "--store", ours, "build", "--rebuild", cut); strings.Contains(said, "error") {
		t.Errorf("it differs: %s", said)
	}
	checked := combined(t, env, "troupe", "derivation", "check", nix+"/nix/store")
	if !strings.Contains(checked, " derivations are right, 0 are not") {
		t.Errorf("the derivations are not right: %s", checked)
	}
}

// whoever leaves out who made the root: two derivations come to it, and it has the
// one that did so first.
func whoever(facts map[string]fact) map[string]fact {
	for p, f := range facts {
		if strings.Contains(p, "-root") {
			f.Deriver = ""
			facts[p] = f
		}
	}
	return facts
}

// TestContentAddressedElsewhere builds the same on a machine of the real Nix, that trusts
// us or does not, and comes to the same.
func TestContentAddressedElsewhere(t *testing.T) {
	needNix(t)
	work, instantiate, env := contentStore(t)
	top, cut := work+"/nix"+instantiate("top"), work+"/nix"+instantiate("cut")
	want := command(t, env, "troupe", "--store", work+"/ours", "build", top, cut)
	for name, users := range map[string]string{"trusted": "root", "untrusted": ""} {
		p := newPeer(t, work, name, "experimental-features = ca-derivations\ntrusted-users = "+users+"\n")
		near := work + "/near-" + name
		o := combined(t, env, "troupe", "--store", near, "build", top, cut, "--option", "builders", p.url+" - - 1 1 ca-derivations", "--max-jobs", "0")
		for _, path := range strings.Fields(want) {
			if !strings.Contains(o, path) {
				t.Errorf("%s: it is not %s:\n%s", name, path, o)
			}
		}
		if diff := cmp.Diff(whoever(troupeFacts(t, env, work+"/ours", strings.Fields(want))), whoever(troupeFacts(t, env, near, strings.Fields(want)))); diff != "" {
			t.Errorf("%s: built here -, there +:\n%s", name, diff)
		}
		if !p.has("-top") || !p.has("-deferred") {
			t.Errorf("%s: it was not built there:\n%s", name, o)
		}
		// Where outputs lie was learnt.
		if said := combined(t, env, "troupe", "--store", near, "build", "--dry-run", top, cut); strings.Contains(said, "would be built") {
			t.Errorf("%s: it is built again: %s", name, said)
		}
	}
}

// A check finds what comes out differently, though that is another path.
func TestCheckOfContentAddressed(t *testing.T) {
	work, instantiate, env := contentStore(t)
	random := instantiate("random")
	built := command(t, env, "troupe", "--store", work+"/ours", "build", work+"/nix"+random)
	cmd := exec.Command("troupe", "--store", work+"/ours", "build", "--rebuild", random)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "may not be deterministic: output '"+work+"/ours"+strings.TrimSpace(built)+"' differs") {
		t.Errorf("%v, %s", err, out)
	}
}

func combined(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Impure derivations are built anew for each request, and what claims to depend on
// its inputs alone may not depend on one.
func TestImpureDerivations(t *testing.T) {
	work, instantiate, env := contentStore(t)
	nix, ours := work+"/nix", work+"/ours"
	impure := instantiate("impure")
	first := command(t, env, "troupe", "--store", ours, "build", nix+impure)
	second := command(t, env, "troupe", "--store", ours, "build", impure)
	if first == second {
		t.Errorf("it was built once: %s", first)
	}
	cmd := exec.Command("troupe", "--store", ours, "build", nix+instantiate("pure"))
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "depends on impure derivation '"+impure+"'") {
		t.Errorf("a pure one depends on it: %v, %s", err, out)
	}
}
