package nixdb_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"troupe/storage/nixdb"
	"troupe/storage/nixhash"
	"troupe/storage/pathlock"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

const dir storepath.Dir = "/nix/store"

// nix is a database that the real Nix has made, with nothing in it.
type nix struct {
	t     *testing.T
	state string
	env   []string
}

func newNix(t *testing.T) *nix {
	t.Helper()
	if _, err := exec.LookPath("nix-store"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nix-store is missing")
		}
		t.Skip("nix-store is missing")
	}
	at := t.TempDir()
	n := &nix{t, at + "/var", append(os.Environ(), "NIX_REMOTE=", "HOME="+at, "NIX_STATE_DIR="+at+"/var", "NIX_LOG_DIR="+at+"/log", "NIX_CONF_DIR="+at,
		"NIX_CONFIG=build-users-group =")}
	n.run("nix-store", "--init")
	return n
}

func (n *nix) run(args ...string) string {
	n.t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = n.env
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("%q: %v\n%s", args, err, said.String())
	}
	return string(out)
}

func (n *nix) open() *nixdb.DB {
	n.t.Helper()
	db, err := nixdb.Open(n.state, dir)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { db.Close() }) // what was to be written was committed
	return db
}

// path is a store path called name.
func path(t *testing.T, name string) storepath.Path {
	t.Helper()
	p, err := storepath.ParseBase(fmt.Sprintf("%032d-%s", len(name), name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func info(t *testing.T, name string, references ...string) validity.Info {
	t.Helper()
	i := validity.Info{Path: path(t, name), NarHash: nixhash.Sum(nixhash.SHA256, []byte(name)), NarSize: uint64(len(name)), RegistrationTime: 1000 + int64(len(name))}
	for _, r := range references {
		i.References = append(i.References, path(t, r))
	}
	return i
}

// source is records, and an error in the end.
type source struct {
	infos    []validity.Info
	err      error
	outputs  map[string]storepath.Path
	realised []validity.Realisation
}

func (s source) All() iter.Seq2[validity.Info, error] {
	return func(yield func(validity.Info, error) bool) {
		for _, i := range s.infos {
			if !yield(i, nil) {
				return
			}
		}
		if s.err != nil {
			yield(validity.Info{}, s.err)
		}
	}
}

func (s source) Outputs(storepath.Path) (map[string]storepath.Path, error) { return s.outputs, nil }

func (s source) Realisations(p storepath.Path) (all []validity.Realisation, err error) {
	for _, r := range s.realised {
		if r.Path == p {
			all = append(all, r)
		}
	}
	return all, nil
}

func of(infos ...validity.Info) source { return source{infos: infos} }

// TestUpdate: what is written is what Nix reads, and what we read again.
func TestUpdate(t *testing.T) {
	ctx := context.Background()
	n := newNix(t)
	db := n.open()
	drv := info(t, "made.drv")
	made := info(t, "made", "a", "made") // to itself, too
	made.Deriver, made.Ultimate = drv.Path, true
	signed := info(t, "signed")
	signed.Signatures, signed.CA = []string{"k:AA==", "l:BB=="}, "text:"+signed.NarHash.String()
	outputs := map[string]storepath.Path{"out": made.Path}
	update := func(want nixdb.Changes, infos ...validity.Info) {
		t.Helper()
		got, err := db.Update(ctx, source{infos: infos, outputs: outputs})
		if err != nil || got != want {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
		now, err := db.Records(ctx)
		if err != nil {
			t.Fatal(err)
		}
		byName := map[string]string{}
		for _, i := range infos {
			byName[i.Path.Base()] = fmt.Sprintf("%+v", i)
		}
		for _, i := range now {
			if got, want := fmt.Sprintf("%+v", i), byName[i.Path.Base()]; got != want {
				t.Errorf("read %s, want %s", got, want)
			}
		}
		if len(now) != len(infos) {
			t.Errorf("%d records, want %d", len(now), len(infos))
		}
	}
	a := info(t, "a")
	update(nixdb.Changes{Added: 4}, made, a, drv, signed) // made before what it refers to
	update(nixdb.Changes{}, made, a, drv, signed)
	if got, want := n.run("nix-store", "-q", "--references", dir.Join(made.Path)), dir.Join(a.Path)+"\n"+dir.Join(made.Path)+"\n"; got != want {
		t.Errorf("Nix reads the references\n%swant\n%s", got, want)
	}
	if got := strings.TrimSpace(n.run("nix-store", "-q", "--deriver", dir.Join(made.Path))); got != dir.Join(drv.Path) {
		t.Errorf("Nix reads the deriver %s", got)
	}
	known, err := db.Outputs(ctx)
	if err != nil || known[drv.Path]["out"] != made.Path || len(known) != 1 {
		t.Errorf("outputs %v, %v", known, err)
	}
	json := n.run("nix", "--extra-experimental-features", "nix-command", "path-info", "--json", dir.Join(signed.Path))
	for _, part := range []string{`"signatures":["k:AA==","l:BB=="]`, `"ca":"text:sha256:`, `"registrationTime":1006`} {
		if !strings.Contains(json, part) {
			t.Errorf("Nix reads %s, without %s", json, part)
		}
	}

	// A signature more, other references, and paths gone that refer to each other.
	signed.Signatures = []string{"k:AA==", "l:BB==", "m:CC=="}
	x, y := info(t, "xxxxxxx", "yyyyyyyyy"), info(t, "yyyyyyyyy", "xxxxxxx")
	update(nixdb.Changes{Added: 2, Changed: 1}, made, a, drv, signed, x, y)
	made.References = []storepath.Path{made.Path}
	update(nixdb.Changes{Changed: 1, Removed: 3}, made, drv, signed)
}

// TestUpdateIsAllOrNothing: a record whose reference is missing, and one that
// cannot be read, change nothing.
func TestUpdateIsAllOrNothing(t *testing.T) {
	ctx := context.Background()
	n := newNix(t)
	db := n.open()
	if _, err := db.Update(ctx, of(info(t, "kept"))); err != nil {
		t.Fatal(err)
	}
	before := n.run("nix-store", "--dump-db")
	if _, err := db.Update(ctx, of(info(t, "a"), info(t, "bb", "none"))); err == nil || !strings.Contains(err.Error(), "-none' is not valid") {
		t.Errorf("a missing reference: %v", err)
	}
	if _, err := db.Update(ctx, of(info(t, "a"), info(t, "bb", "kept"))); err == nil || !strings.Contains(err.Error(), "-kept' is not valid") {
		t.Errorf("a reference to what is to go: %v", err)
	}
	broken := errors.New("broken")
	if _, err := db.Update(ctx, source{infos: []validity.Info{info(t, "a")}, err: broken}); !errors.Is(err, broken) {
		t.Errorf("records that cannot be read: %v", err)
	}
	if diff := cmp.Diff(before, n.run("nix-store", "--dump-db")); diff != "" {
		t.Errorf("before -, after +:\n%s", diff)
	}
}

// TestRealisations: where floating outputs lie is written where Nix reads it, and
// goes with its path.
func TestRealisations(t *testing.T) {
	ctx := context.Background()
	n := newNix(t)
	a := info(t, "a")
	of := validity.Realisation{ID: validity.DrvOutput{Hash: nixhash.Sum(nixhash.SHA256, []byte("drv")), Output: "out"}, Path: a.Path}
	from := source{infos: []validity.Info{a}, realised: []validity.Realisation{of}}
	if got, err := n.open().Update(ctx, from); err != nil || got != (nixdb.Changes{Added: 1, Lost: 1}) {
		t.Errorf("without the table: %+v, %v", got, err)
	}
	n.run("nix-store", "--dump-db", "--option", "experimental-features", "ca-derivations") // makes it
	db := n.open()
	for _, want := range []nixdb.Changes{{Realised: 1}, {}} {
		if got, err := db.Update(ctx, from); err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	from.realised[0].Signatures = []string{"k:AA=="}
	if got, err := db.Update(ctx, from); err != nil || got != (nixdb.Changes{Realised: 1}) {
		t.Errorf("signed: %+v, %v", got, err)
	}
	if got, err := db.Realisations(ctx); err != nil || len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(from.realised[0]) {
		t.Errorf("read %v, %v; want %v", got, err, from.realised)
	}
	if got, err := db.Update(ctx, source{}); err != nil || got != (nixdb.Changes{Removed: 1}) {
		t.Errorf("gone: %+v, %v", got, err)
	}
	if got, err := db.Realisations(ctx); err != nil || len(got) != 0 {
		t.Errorf("read %v, %v", got, err)
	}
}

// TestGuard: no Nix opens a guarded database, and a process that has it open is
// waited for.
func TestGuard(t *testing.T) {
	n := newNix(t)
	if err := errors.Join(nixdb.CheckSchema(n.state), nixdb.Guard(n.state), nixdb.Guard(n.state), nixdb.CheckSchema(n.state)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nix-store", "--dump-db")
	cmd.Env = n.env
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "schema is version 1000010, but I only support 10") {
		t.Errorf("Nix opens a guarded database: %v, %s", err, out)
	}
	if err := nixdb.Unguard(n.state); err != nil {
		t.Fatal(err)
	}
	n.run("nix-store", "--verify")
	if err := os.WriteFile(filepath.Join(nixdb.Dir(n.state), "schema"), []byte("11"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := nixdb.CheckSchema(n.state); err == nil || !strings.Contains(err.Error(), "has schema 11, and 10 is known") {
		t.Errorf("another schema: %v", err)
	}
}

// TestAlone: a process of Nix that has the store open is waited for.
func TestAlone(t *testing.T) {
	n := newNix(t)
	cmd := exec.Command("nix-store", "--serve")
	cmd.Env = n.env
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hello := []byte{0xeb, 0x9d, 0x0c, 0x39, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 0, 0} // SERVE_MAGIC_1 and 2.7
	if _, err := in.Write(hello); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil { // it answers once it has the store
		t.Fatal(err)
	}
	if _, err := pathlock.TryFile(filepath.Join(nixdb.Dir(n.state), "big-lock")); !errors.Is(err, pathlock.ErrBusy) {
		t.Fatalf("Nix does not hold its lock: %v", err)
	}
	waited := false
	release, err := nixdb.Alone(context.Background(), n.state, func() {
		waited = true
		in.Close()
	})
	if err != nil || !waited {
		t.Fatalf("waited %v, %v", waited, err)
	}
	if err := errors.Join(release(), cmd.Wait()); err != nil {
		t.Error(err)
	}
}
