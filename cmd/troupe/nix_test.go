package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// graph is instantiated and built by the real Nix, and built again by troupe.
const graph = `
let
  box = builtins.path { name = "box"; path = BOX; };
  d = name: script: extra: derivation ({
    inherit name; system = builtins.currentSystem; builder = "${box}/bin/busybox"; PATH = "${box}/bin";
    args = [ "sh" "-e" "-c" script ];
  } // extra);
in rec {
  leaf = d "leaf" "echo leaf > $out" { };
  tree = d "tree" "mkdir -p $out/a/b $out/empty; echo x > $out/a/b/file; chmod 755 $out/a/b/file; ln -s a/b $out/link; echo ${leaf} > $out/ref; touch -d 2020-01-01 $out/a; chmod 700 $out/empty" { };
  multi = d "multi" "mkdir $out $dev $doc; echo $doc > $out/doc; echo $out ${tree} > $dev/refs; ln $doc/../$(basename $out)/doc $out/hard" { outputs = [ "out" "dev" "doc" ]; };
  fixed = d "fixed" "echo fixed > $out" { outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "fixed\n"; };
  recursive = d "recursive" "mkdir $out; echo $NIX_OUTPUT_CHECKED > /dev/null; echo data > $out/file" { outputHashMode = "recursive"; outputHashAlgo = "sha256"; outputHash = "sha256-MFIWYUdLR0R4CxACYhZnZ2OUoAQB5ihUL8FjFP9U2bA="; };
  placeholder = d "placeholder" "echo $self > $out; cat $textPath >> $out" { self = builtins.placeholder "out"; passAsFile = [ "text" ]; text = "a\"b\\c\n\ttab"; };
  graph = d "graph" "sort closure > $out" { exportReferencesGraph = [ "closure" multi.dev ]; };
  quiet = d "quiet" "sed 's/.*\"out\":\"\\([^\"]*\\)\".*/\\1/' .attrs.json > .o; o=$(cat .o); cp .attrs.json $o" { __structuredAttrs = true; PATH = "${box}/bin"; list = [ 1 "two" true null { three = 3.5; } ]; };
  top = d "top" "echo $deps > $out" { deps = [ leaf tree multi multi.dev fixed placeholder graph ]; };
}
`

// fact is what two stores must agree on.
type fact struct {
	NarHash    string
	NarSize    int
	Deriver    string
	References []string
}

// TestSameAsNix holds what troupe makes of a graph against what Nix makes of it.
func TestSameAsNix(t *testing.T) {
	for _, tool := range []string{"nix", "nix-store", "nix-instantiate", "busybox"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is missing: %v", tool, err)
			}
			t.Skipf("%s is missing", tool)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("comparing with Nix's sandbox needs root")
	}
	work := t.TempDir()
	file := writeGraph(t, work)
	nix := work + "/nix"
	env := append(os.Environ(), "NIX_CONF_DIR="+work, "NIX_REMOTE=", "HOME="+work)
	top := strings.TrimSpace(command(t, env, "nix-instantiate", "--store", nix, file, "-A", "top"))
	quiet := strings.TrimSpace(command(t, env, "nix-instantiate", "--store", nix, file, "-A", "quiet"))
	command(t, env, "nix-store", "--store", nix, "--realise", top, quiet, "--option", "sandbox", "true", "--option", "build-users-group", "", "--option", "substituters", "")

	ours := work + "/ours"
	out := command(t, env, "troupe", "--store", ours, "build", nix+top, nix+quiet)
	paths := strings.Fields(out)
	want := nixFacts(t, env, nix, paths)
	got := troupeFacts(t, env, ours, paths)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Nix has -, troupe +:\n%s", diff)
	}
	if len(want) < 8 {
		t.Errorf("only %d paths were compared", len(want))
	}

	// The text of the database goes to Nix and back.
	dump := command(t, env, "troupe", "--store", ours, "store", "dump-db")
	if err := os.WriteFile(work+"/db", []byte(dump), 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, env, "sh", "-c", "nix-store --store "+ours+" --load-db < "+work+"/db")
	again := command(t, env, "nix-store", "--store", ours, "--dump-db")
	if diff := cmp.Diff(records(dump), records(again)); diff != "" {
		t.Errorf("troupe dumps -, Nix after loading it +:\n%s", diff)
	}
	command(t, env, "nix-store", "--store", ours, "--verify", "--check-contents")
}

// records splits a dump into one text a path, sorted: path, hash, size, deriver,
// number of references, references.
func records(dump string) []string {
	var all []string
	lines := strings.Split(strings.TrimSpace(dump), "\n")
	for len(lines) > 4 {
		refs, err := strconv.Atoi(lines[4])
		if err != nil || len(lines) < 5+refs {
			return append(all, "unreadable: "+lines[0])
		}
		all = append(all, strings.Join(lines[:5+refs], "\n"))
		lines = lines[5+refs:]
	}
	slices.Sort(all)
	return all
}

func writeGraph(t *testing.T, work string) string {
	t.Helper()
	box := work + "/box/bin"
	if err := os.MkdirAll(box, 0o755); err != nil {
		t.Fatal(err)
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(box+"/busybox", data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields("sh mkdir ln cat chmod touch basename sort sed cp") {
		if err := os.Symlink("busybox", filepath.Join(box, name)); err != nil {
			t.Fatal(err)
		}
	}
	file := work + "/graph.nix"
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(graph, "BOX", work+"/box")), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = env
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, said.String())
	}
	return string(out)
}

func nixFacts(t *testing.T, env []string, store string, paths []string) map[string]fact {
	t.Helper()
	text := command(t, env, "nix", append([]string{"--extra-experimental-features", "nix-command", "--store", store, "path-info", "-r", "--json"}, paths...)...)
	var list []struct {
		Path, NarHash, Deriver string
		NarSize                int
		References             []string
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	facts := map[string]fact{}
	for _, p := range list {
		facts[p.Path] = fact{p.NarHash, p.NarSize, p.Deriver, append([]string{}, p.References...)}
	}
	return facts
}

func troupeFacts(t *testing.T, env []string, store string, paths []string) map[string]fact {
	t.Helper()
	text := command(t, env, "troupe", append([]string{"--store", store, "path-info", "-r", "--json"}, paths...)...)
	facts := map[string]fact{}
	if err := json.Unmarshal([]byte(text), &facts); err != nil {
		t.Fatal(err)
	}
	return facts
}
