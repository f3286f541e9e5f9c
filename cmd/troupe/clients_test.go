package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// needNix ends a test where the real Nix is missing.
func needNix(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"nix", "nix-build", "nix-store", "nix-env", "nix-daemon"} {
		if _, err := exec.LookPath(tool); err != nil {
			lacking(t, tool)
		}
	}
}

// step is what a client of Nix does. What it prints and its exit status must be
// those that it has with nix-daemon, and with said what it says as well.
type step struct {
	script string
	said   bool
	holds  []string // what ours says, where the wording is that of newer ones
}

// clientSteps are done one after the other; later ones have the variables that
// earlier ones wrote to the file vars.
var clientSteps = []step{
	{script: `nix-build graph.nix -A top -o result && cat result`},
	{script: `nix-build graph.nix -A top -o result`, said: true},
	{script: `echo "top=$(readlink result) drv=$(nix-store -q --deriver result)" > vars`},
	{script: `for q in references referrers requisites deriver hash size valid-derivers tree graph roots; do echo $q; nix-store -q --$q $top; done`, said: true},
	{script: `for q in outputs references requisites "binding name" size; do echo "$q"; nix-store -q --$q $drv; done; nix-store -q --requisites --include-outputs $drv`, said: true},
	{script: `nix-store -q --references /nonexistent`, said: true},
	{script: `nix-store -q --hash $work/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x`, said: true},
	{script: `mkdir -p dir/sub && echo a > dir/sub/file && ln -s sub dir/link && nix-store --add dir && nix-store --add-fixed --recursive sha256 dir && nix-store --add-fixed sha1 dir/sub/file`, said: true},
	{script: `nix store add-file graph.nix && nix store add-path dir --name other`, said: true},
	{script: `nix-store --dump $top | sha256sum; nix store dump-path $top | sha256sum; nix-store --dump dir | nix-store --restore restored && cat restored/sub/file`, said: true},
	{script: `nix-store --export $(nix-store -qR $top) > exported && sha256sum < exported`, said: true},
	{script: `nix copy --to file://$work/cache $top && ls cache | grep -v nix-cache-info`, said: true},
	{script: `rm result && nix-store --delete $top && nix-store -q --hash $top`},
	{script: `nix-store --import < exported`, said: true},
	{script: `nix-store --generate-binary-cache-key test-1 sk pk && nix copy --to "file://$work/signed?secret-key=$work/sk" $top && nix-store --delete $top > /dev/null 2>&1
		nix copy --from file://$work/signed --option trusted-public-keys "$(cat pk)" $top; nix-store -q --hash $top`},
	{script: `nix-store -q --hash $top && nix-store --delete $top > /dev/null 2>&1 && nix copy --from file://$work/cache $top`},
	{script: `nix copy --no-check-sigs --from file://$work/cache $top && nix-store -q --hash $top`, said: true},
	{script: `nix path-info -r $top && nix path-info -sSh $top`, said: true},
	{script: `nix path-info --json $top | sed 's/"registrationTime":[0-9]*//; s/"ultimate":[a-z]*//'`, said: true},
	{script: `nix-env -f graph.nix -p $work/profile -iA tree && nix-env -p $work/profile -q && profile/bin/tool echo installed && nix-env -p $work/profile -e tree && nix-env -p $work/profile -q`, said: true},
	{script: `nix-env -p $work/profile --list-generations | sed 's/20[0-9-]* [0-9:]*//'`, said: true},
	{script: `nix build -L -f graph.nix beside leaf --no-link --rebuild`, holds: []string{"some outputs of '"}},
	{script: `nix-store --delete $(nix-store -q --outputs $(nix-instantiate graph.nix -A gated)) 2>/dev/null; nix build -L -f graph.nix gated --no-link`, said: true},
	{script: `nix log $drv && nix log $top && nix-store -l $top`, said: true},
	{script: `nix-build graph.nix -A bad --no-out-link`, holds: []string{"bad.drv'", "builder failed with exit code 3", "> the reason", "nix log "}},
	{script: `nix-build graph.nix -A above --no-out-link --keep-going -j1`,
		holds: []string{"builder failed with exit code 3", "builder failed with exit code 4", "2 dependencies failed"}},
	{script: `nix-build graph.nix -A bad -A leaf --no-out-link -k -j1; nix-store -q --hash $(nix-instantiate graph.nix -A leaf | xargs nix-store -q --outputs)`,
		holds: []string{"builder failed with exit code 3"}},
	{script: `nix-build graph.nix -A silent --no-out-link`, holds: []string{"failed to produce output path for output 'out'"}},
	{script: `nix build -f graph.nix bad --no-link`, holds: []string{"builder failed with exit code 3"}},
	{script: `nix build -f graph.nix bad worse leaf --no-link --keep-going`, holds: []string{"builder failed with exit code"}},
	{script: `nix-store --realise $(nix-instantiate graph.nix -A bad -A leaf) -k -j1`},
	{script: `nix-build graph.nix -A gated --no-out-link --check`},
	{script: `nix-build graph.nix -A endless --no-out-link --timeout 1; nix-build graph.nix -A endless --no-out-link --max-silent-time 1`,
		holds: []string{"timed out after 1 seconds.", "timed out after 1 seconds of silence"}},
	{script: `nix-build graph.nix -A top --dry-run && nix-build graph.nix -A many --dry-run 2>&1 | sed 's,-[0-9]*.drv,,' | sort | uniq -c | sort`},
	{script: `nix-build graph.nix -A many --no-out-link -j3 | wc -l`},
	{script: `nix-store --verify && nix-store --verify --check-contents`, said: true},
	{script: `nix store verify --all --no-trust 2>&1 | sort`},
	{script: `nix-store --verify-path $top`, said: true},
	{script: `nix-store --optimise 2>/dev/null; stat -c %h $top`},
	{script: `nix-build graph.nix -A leaf -o result > /dev/null && nix-store --gc --print-roots | grep -v /proc | grep -v '{'`},
	{script: `nix-store --gc --print-dead 2>/dev/null | grep -v 'lock$' | sort`},
	{script: `nix-store --gc --print-live 2>/dev/null | sort`},
	{script: `nix store delete $(readlink result)`},
	{script: `nix-collect-garbage > /dev/null 2>&1 && ls store && cat result`},
	{script: `nix store ping`},
}

// TestClientsCannotTell runs stock clients of Nix against nix-daemon and then,
// in the same place, against ours: what they print, say and exit with is the
// same. As root with build users that need no accounts, and as an ordinary user.
func TestClientsCannotTell(t *testing.T) {
	needNix(t)
	needBuilds(t)
	for _, c := range []struct {
		name string
		uid  int
	}{{"root", 0}, {"nobody", nobodyUID}} {
		t.Run(c.name, func(t *testing.T) {
			if c.uid == 0 && os.Geteuid() != 0 {
				t.Skip("to be root needs root")
			}
			s := newSite(t, c.uid, "")
			s.addExpressions()
			s.compare(clientSteps)
		})
	}
}

// compare performs steps with nix-daemon and then with ours.
func (s *site) compare(steps []step) {
	s.t.Helper()
	conf := s.read("daemon/nix.conf")
	s.write("daemon/nix.conf", "experimental-features = nix-command\nsubstituters =\nsandbox = true\nbuild-users-group =\n")
	nix := s.start(s.env("daemon", "NIX_REMOTE=local"), "nix-daemon")
	soon(s.t, "no socket of nix-daemon ", func() string {
		if !exists(s.at("socket")) {
			return "yet"
		}
		return ""
	})
	want := s.perform(steps, false)
	s.must(nix.cmd.Process.Kill())
	nix.ends()
	s.clear()
	s.write("daemon/nix.conf", conf)
	ours := s.daemon()
	got := s.perform(steps, true)
	for i, step := range steps {
		if diff := cmp.Diff(strings.Split(want[i], "\n"), strings.Split(got[i], "\n")); diff != "" {
			s.t.Errorf("%s: with nix-daemon -, with ours +:\n%s", step.script, diff)
		}
	}
	ours.stop()
}

// perform does all steps.
func (s *site) perform(steps []step, ours bool) (all []string) {
	s.t.Helper()
	s.write("vars", "")
	for _, step := range steps {
		o := s.say(s.client(". ./vars; " + step.script))
		for _, text := range step.holds {
			if ours && !strings.Contains(normal(o.stderr), text) {
				s.t.Errorf("%s: nobody says %q:\n%s", step.script, text, o.stderr)
			}
		}
		if !step.said {
			o.stderr = ""
		}
		all = append(all, fmt.Sprintf("exit code %d\n%s---\n%s", o.code, normal(o.stdout), normal(o.stderr)))
	}
	return all
}

// colours and times are no part of what is compared.
var (
	colours  = regexp.MustCompile("\x1b\\[[0-9;]*m")
	versions = regexp.MustCompile(`Version: .*|Trusted: .*\n`)
)

func normal(text string) string {
	// Newer ones say so, and ours with them.
	text = strings.ReplaceAll(text, "it lacks a valid signature", "it lacks a signature by a trusted key")
	return versions.ReplaceAllString(colours.ReplaceAllString(text, ""), "")
}

// clear removes all that clients and the daemon made.
func (s *site) clear() {
	s.t.Helper()
	keep := []string{"evil", "bin", "daemon", "client", "home", "tmp", "box", "graph.nix"}
	for _, name := range namesIn(s.work) {
		if !slices.Contains(keep, name) && !strings.HasPrefix(name, "notify-") {
			s.must(exec.Command("chmod", "-R", "u+w", s.at(name)).Run())
			s.must(os.RemoveAll(s.at(name)))
		}
	}
}
