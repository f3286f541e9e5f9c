package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"troupe/cmd/troupe/moving"
	"troupe/storage/storepath"
)

// nixStore is a store that the real Nix has made, with directories of its own.
type nixStore struct {
	t    *testing.T
	work string
	env  []string
}

// chain has derivations that need each other, and says which are built.
const chain = `
let
  d = name: script: extra: derivation ({ inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" script ]; } // extra);
  link = n: if n == 0 then d "link-0" "echo 0 > $out" { } else d "link-${toString n}" "read x < $before; echo $x ${toString n} $before > $out" { before = link (n - 1); };
in rec {
  all = map link [ 40 120 200 ];
  built = link 20;
  multi = d "multi" "echo $dev > $out; echo dev > $dev; echo $self > $self" { outputs = [ "out" "dev" "self" ]; };
  fixed = d "fixed" "echo fixed > $out" { outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "fixed\n"; };
  later = link 25;
  dead = d "dead" "echo dead > $out" { };
}
`

// newNixStore makes a store with hundreds of valid paths, of which some are built,
// some signed, some content-addressed, and some nobody needs.
func newNixStore(t *testing.T) *nixStore {
	t.Helper()
	for _, tool := range []string{"nix", "nix-store", "nix-instantiate"} {
		if _, err := exec.LookPath(tool); err != nil {
			lacking(t, tool)
		}
	}
	work := tempDir(t)
	n := &nixStore{t: t, work: work, env: append(os.Environ(), "HOME="+work, "NIX_REMOTE=", "NIX_STORE_DIR="+work+"/store", "NIX_STATE_DIR="+work+"/var",
		"NIX_LOG_DIR="+work+"/log", "NIX_CONF_DIR="+work, "TMPDIR="+work)}
	n.write("nix.conf", "build-users-group =\nsandbox = false\nsubstituters =\nexperimental-features = nix-command\n")
	n.write("chain.nix", chain)
	n.run("nix-instantiate", "chain.nix", "-A", "all", "--add-root", work+"/all")
	n.run("nix-store", "--realise", n.run("nix-instantiate", "chain.nix", "-A", "built"), "--add-root", work+"/built")
	for _, attribute := range []string{"multi", "fixed", "dead"} {
		n.run("nix-store", "--realise", n.run("nix-instantiate", "chain.nix", "-A", attribute))
	}
	n.run("nix-store", "--generate-binary-cache-key", "test-1", "secret", "public")
	n.run("nix", "store", "sign", "--key-file", "secret", "-r", n.work+"/built")
	return n
}

func (n *nixStore) write(name, text string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.work, name), []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// run runs a program that must succeed, and returns what it printed.
func (n *nixStore) run(args ...string) string {
	n.t.Helper()
	got := n.try(args...)
	if got.code != 0 {
		n.t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), got.code, got.stderr)
	}
	return strings.TrimSpace(got.stdout)
}

func (n *nixStore) try(args ...string) outcome {
	n.t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir = n.env, n.work
	return (&testStore{t: n.t}).finish(cmd)
}

// facts are all that Nix knows, by path.
func (n *nixStore) facts() map[string]map[string]any {
	n.t.Helper()
	var list []map[string]any
	if err := json.Unmarshal([]byte(n.run("nix", "path-info", "--json", "--all")), &list); err != nil {
		n.t.Fatal(err)
	}
	facts := map[string]map[string]any{}
	for _, f := range list {
		facts[f["path"].(string)] = f
	}
	return facts
}

// dump is what nix-store --dump-db says, by record.
func (n *nixStore) dump() []string { return records(n.run("nix-store", "--dump-db") + "\n") }

// TestAdoptAndLeave: a store that Nix has made is adopted, worked on, and given
// back; the database says what it said before, and what was done meanwhile.
func TestAdoptAndLeave(t *testing.T) {
	needBuilds(t)
	n := newNixStore(t)
	later := n.run("nix-instantiate", "chain.nix", "-A", "later", "--add-root", n.work+"/later")
	later, err := os.Readlink(later)
	if err != nil {
		t.Fatal(err)
	}
	dead := n.run("nix-store", "-q", "--outputs", n.run("nix-instantiate", "chain.nix", "-A", "dead"))
	facts, dump := n.facts(), n.dump()
	if len(dump) < 230 {
		t.Fatalf("only %d paths are valid", len(dump))
	}

	if got := n.try("troupe", "build", later); got.code == 0 || !strings.Contains(got.stderr, "hint: troupe adopt") {
		t.Errorf("a build before: %+v", got)
	}
	if got := n.try("troupe", "adopt"); got.code != exitUsage || !strings.Contains(got.stderr, "nobody is there to be asked") {
		t.Errorf("without --yes: %+v", got)
	}
	if got := n.try("troupe", "adopt", "--dry-run"); got.code != 0 || !strings.Contains(got.stderr, "  3. read all that Nix knows of valid paths") {
		t.Errorf("with --dry-run: %+v", got)
	}
	n.run("nix-store", "--verify")
	n.run("troupe", "adopt", "--yes")
	if got := n.try("troupe", "adopt", "--yes"); got.code != 0 || !strings.Contains(got.stderr, "adopted already") {
		t.Errorf("a second time: %+v", got)
	}
	if got := n.try("nix-store", "--dump-db"); got.code == 0 || !strings.Contains(got.stderr, "store schema is version 1000010") {
		t.Errorf("Nix opens an adopted store: %+v", got)
	}
	if diff := cmp.Diff(dump, records(n.run("troupe", "store", "dump-db")+"\n")); diff != "" {
		t.Errorf("Nix has -, troupe +:\n%s", diff)
	}
	n.sameFacts(facts)

	made := strings.Fields(n.run("troupe", "build", "--option", "sandbox", "false", later))
	made = append(made, n.run("troupe", "store", "add", "chain.nix"))
	n.run("troupe", "gc", "--delete", dead)
	n.run("troupe", "verify", "--contents")
	n.run("troupe", "leave", "--yes")
	if got := n.try("troupe", "leave", "--yes"); got.code != 0 || !strings.Contains(got.stderr, "is not adopted") {
		t.Errorf("a second time: %+v", got)
	}
	n.run("nix-store", "--verify", "--check-contents")
	n.sameBut(facts, dump, made, dead)
	for _, ours := range []string{"var/troupe", "var/builds", "store/.troupe-staging"} {
		if exists(filepath.Join(n.work, ours)) {
			t.Errorf("'%s' is left", ours)
		}
	}
	// Nix works with what was made: nothing is built again, and all can be collected.
	if got := n.try("nix-store", "--realise", later); got.code != 0 || strings.Contains(got.stderr, "building") || strings.TrimSpace(got.stdout) != made[0] {
		t.Errorf("Nix realises what was built: %+v", got)
	}
	if got := n.run("nix-store", "-q", "--deriver", made[0]); got != later {
		t.Errorf("the deriver is %s", got)
	}
	n.run("nix-store", "--gc")
	n.run("nix-store", "--verify", "--check-contents")
}

// sameFacts holds what troupe knows against what Nix knew.
func (n *nixStore) sameFacts(facts map[string]map[string]any) {
	n.t.Helper()
	args := []string{"troupe", "path-info", "--json"}
	for p := range facts {
		args = append(args, p)
	}
	var ours map[string]map[string]any
	if err := json.Unmarshal([]byte(n.run(args...)), &ours); err != nil {
		n.t.Fatal(err)
	}
	signed, addressed := 0, 0
	for p, want := range facts {
		got := ours[p]
		for _, field := range []string{"narSize", "registrationTime", "references"} {
			if diff := cmp.Diff(want[field], got[field]); diff != "" {
				n.t.Errorf("%s of %s: Nix has -, troupe +:\n%s", field, p, diff)
			}
		}
		// Nix leaves out what there is none of.
		for field, none := range map[string]any{"deriver": nil, "ca": nil, "ultimate": false, "signatures": []any{}} {
			value, there := want[field]
			if !there {
				value = none
			}
			if diff := cmp.Diff(value, got[field]); diff != "" {
				n.t.Errorf("%s of %s: Nix has -, troupe +:\n%s", field, p, diff)
			}
		}
		if want["signatures"] != nil {
			signed++
		}
		if want["ca"] != nil {
			addressed++
		}
	}
	if signed == 0 || addressed == 0 {
		n.t.Errorf("of %d paths %d are signed and %d content-addressed", len(facts), signed, addressed)
	}
}

// sameBut holds what Nix knows against what it knew: besides there are the paths
// made, and without the ones that are gone.
func (n *nixStore) sameBut(facts map[string]map[string]any, dump, made []string, gone ...string) {
	n.t.Helper()
	now := n.facts()
	for _, p := range made {
		if now[p] == nil || facts[p] != nil {
			n.t.Errorf("%s: was it valid before: %v, and is it: %v", p, facts[p] != nil, now[p] != nil)
		}
		delete(now, p)
	}
	for p := range now { // what had to be made for it
		if facts[p] == nil && strings.Contains(p, "-link-2") {
			made = append(made, p)
			delete(now, p)
		}
	}
	was := map[string]map[string]any{}
	for p, f := range facts {
		if !slices.Contains(gone, p) {
			was[p] = f
		}
	}
	if diff := cmp.Diff(was, now); diff != "" {
		n.t.Errorf("before -, after +:\n%s", diff)
	}
	with := func(records, paths []string) []string {
		return slices.DeleteFunc(slices.Clone(records), func(r string) bool {
			path, _, _ := strings.Cut(r, "\n")
			return slices.Contains(paths, path)
		})
	}
	if diff := cmp.Diff(with(dump, gone), with(n.dump(), made)); diff != "" {
		n.t.Errorf("the dump, before - and after +:\n%s", diff)
	}
}

// errStop is a move that is killed.
var errStop = errors.New("killed here")

// TestUnits: systemd takes the units, and the command line prints them.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		lacking(t, "systemd-analyze")
	}
	work := tempDir(t)
	s := newTestStore(t, work, work+"/a store")
	printed := s.want(0, "daemon", "--print-units").stdout
	var files []string
	for _, part := range strings.Split("\n"+printed, "\n# troupe-daemon.")[1:] {
		kind, text, _ := strings.Cut(part, "\n")
		file := filepath.Join(work, "troupe-daemon."+kind)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if len(files) != 2 || !strings.Contains(printed, "/troupe --store \""+work+"/a store\" daemon\n") {
		t.Fatalf("printed:\n%s", printed)
	}
	cmd := exec.Command("systemd-analyze", append([]string{"verify"}, files...)...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+work+":")
	out, err := cmd.CombinedOutput()
	if err != nil || !onlyNewer(string(out)) {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

// onlyNewer reports whether systemd only misses what came with a later version.
func onlyNewer(said string) bool {
	for line := range strings.Lines(said) {
		if strings.Contains(line, "troupe-daemon") && !strings.Contains(line, "Unknown key 'DelegateSubgroup'") {
			return false
		}
	}
	return true
}

// TestMovesAreInterrupted ends a move before and after each of its steps, and asks
// for it again, or for the way back. In the end Nix has all that it had, and its
// units are as they were.
func TestMovesAreInterrupted(t *testing.T) {
	n := newNixStore(t)
	facts, dump := n.facts(), n.dump()
	units := newFakeSystemd(t)
	before := units.String()
	i := n.installation(units)
	adopt := func() error { return move(i.Adopt()) }
	leave := func() error { return move(i.Leave()) }
	points := n.points(i, adopt)
	back := n.points(i, leave)
	if len(points) != 10 || len(back) != 10 {
		t.Fatalf("moves have the points %q and %q", points, back)
	}
	var made []string
	untouched := func(how string) {
		t.Helper()
		n.sameBut(facts, dump, made)
		if now := units.String(); now != before {
			t.Errorf("%s: units before\n%s\nand after\n%s", how, before, now)
		}
	}
	untouched("adopted and left")
	for _, at := range points {
		n.stopped(i, at, adopt)
		n.works(leave)
		untouched("left after an adoption that was killed " + at)
		n.stopped(i, at, adopt)
		n.works(adopt)
		if got := n.try("troupe", "store", "dump-db"); got.code != 0 || len(records(got.stdout)) != len(dump) {
			t.Errorf("adopted after a kill %s: exit code %d, %d records\n%s", at, got.code, len(records(got.stdout)), got.stderr)
		}
		if !strings.Contains(units.String(), "nix-daemon.socket masked\n") || !strings.Contains(units.String(), "troupe-daemon.socket active enabled\n") {
			t.Errorf("adopted after a kill %s:\n%s", at, units)
		}
		n.works(leave)
	}
	for _, at := range back {
		n.works(adopt)
		n.write("made", at)
		made = append(made, n.run("troupe", "store", "add", "made"))
		n.stopped(i, at, leave)
		if got := n.try("troupe", "store", "add", "nix.conf"); got.code == 0 || !strings.Contains(got.stderr, "hint: troupe leave goes on with it") {
			t.Errorf("work on a store that is leaving, stopped %s: %+v", at, got)
		}
		n.works(leave)
		untouched("left after a kill " + at)
	}
	n.run("nix-store", "--verify", "--check-contents")
}

func move(p *moving.Plan, err error) error {
	if err != nil {
		return err
	}
	return p.Run(context.Background())
}

func (n *nixStore) installation(units *fakeSystemd) *moving.Installation {
	l := location{Dir: storepath.Dir(n.work + "/store"), StateDir: n.work + "/var", LogDir: n.work + "/log"}
	return &moving.Installation{Layout: l, Database: databaseDir(l), Command: []string{"/bin/troupe", "daemon"}, Socket: n.work + "/socket", UnitDir: units.dir,
		Systemctl: units.systemctl, Listening: func() bool { return false }, Say: func(line string) { n.t.Log(line) }}
}

// points are where a move can be stopped.
func (n *nixStore) points(i *moving.Installation, f func() error) (all []string) {
	n.t.Helper()
	i.Pause = func(at string) error {
		all = append(all, at)
		return nil
	}
	n.works(f)
	i.Pause = nil
	return all
}

// stopped runs a move that ends at a point.
func (n *nixStore) stopped(i *moving.Installation, at string, f func() error) {
	n.t.Helper()
	i.Pause = func(now string) error {
		if now == at {
			return errStop
		}
		return nil
	}
	if err := f(); !errors.Is(err, errStop) {
		n.t.Fatalf("to be stopped %s: %v", at, err)
	}
	i.Pause = nil
}

func (n *nixStore) works(f func() error) {
	n.t.Helper()
	if err := f(); err != nil && !errors.Is(err, moving.ErrNothing) {
		n.t.Fatal(err)
	}
}

// fakeSystemd knows units by the files of a directory, and two of a distribution.
type fakeSystemd struct {
	t               *testing.T
	dir             string
	vendor          []string
	active, enabled map[string]bool
}

// newFakeSystemd has the socket of Nix as a distribution installs it, and the
// service as Nix's own installer does.
func newFakeSystemd(t *testing.T) *fakeSystemd {
	t.Helper()
	f := &fakeSystemd{t: t, dir: t.TempDir(), vendor: []string{"nix-daemon.socket"},
		active: map[string]bool{"nix-daemon.socket": true, "nix-daemon.service": true}, enabled: map[string]bool{"nix-daemon.socket": true}}
	if err := os.Symlink("/nowhere/nix-daemon.service", filepath.Join(f.dir, "nix-daemon.service")); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fakeSystemd) load(unit string) string {
	target, err := os.Readlink(filepath.Join(f.dir, unit))
	_, serr := os.Lstat(filepath.Join(f.dir, unit))
	switch {
	case err == nil && target == os.DevNull:
		return "masked"
	case serr == nil || slices.Contains(f.vendor, unit):
		return "loaded"
	}
	return "not-found"
}

func (f *fakeSystemd) systemctl(_ context.Context, args ...string) (string, error) {
	verb, unit := args[0], args[len(args)-1]
	file := filepath.Join(f.dir, unit)
	switch verb {
	case "show":
		state := "inactive"
		if f.active[unit] {
			state = "active"
		}
		return fmt.Sprintf("LoadState=%s\nActiveState=%s\n", f.load(unit), state), nil
	case "daemon-reload":
	case "stop":
		delete(f.active, unit)
	case "start":
		if f.load(unit) != "loaded" {
			return "", fmt.Errorf("Unit %s is %s.", unit, f.load(unit))
		}
		f.active[unit] = true
	case "mask":
		if f.load(unit) == "masked" {
			return "", nil
		}
		if err := os.Symlink(os.DevNull, file); err != nil {
			return "", err
		}
	case "unmask":
		if f.load(unit) == "masked" {
			return "", os.Remove(file)
		}
	case "enable", "disable":
		for _, u := range args[1:] {
			if f.load(u) == "not-found" {
				return "", fmt.Errorf("Unit file %s does not exist.", u)
			}
			if delete(f.enabled, u); verb == "enable" {
				f.enabled[u] = true
			}
		}
	default:
		f.t.Errorf("systemctl %q", args)
	}
	return "", nil
}

// String lists all units and files.
func (f *fakeSystemd) String() string {
	names := slices.Clone(f.vendor)
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name)
		if state := f.load(name); state != "loaded" {
			b.WriteString(" " + state)
		}
		if f.active[name] {
			b.WriteString(" active")
		}
		if f.enabled[name] && f.load(name) != "masked" {
			b.WriteString(" enabled")
		}
		b.WriteString("\n")
	}
	return b.String()
}
