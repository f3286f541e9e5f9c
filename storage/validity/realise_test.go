package validity

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// outputOf names the output "out" of what has that name as its hash.
func outputOf(drv string) DrvOutput {
	return DrvOutput{nixhash.Sum(nixhash.SHA256, []byte(drv)), "out"}
}

// realised is a registration of one realisation.
func realised(drv, path string, signatures ...string) Registration {
	return Registration{Realisations: []Realisation{{ID: outputOf(drv), Path: named(path), Drv: named(drv), Signatures: signatures}}}
}

// where says where the output of a derivation lies, and its signatures.
func where(t testing.TB, db *DB, drv string) string {
	t.Helper()
	r, ok, err := db.Realisation(outputOf(drv))
	must(t, err)
	if !ok {
		return "nowhere"
	}
	if r.Drv != named(drv) {
		t.Errorf("the realisation of %s is of %v", drv, r.Drv)
	}
	return strings.Join(append([]string{r.Path.Name()}, r.Signatures...), " ")
}

func wantWhere(t testing.TB, db *DB, want string, drvs ...string) {
	t.Helper()
	for _, drv := range drvs {
		if got := where(t, db, drv); got != want {
			t.Errorf("the output of %s lies %s, not %s", drv, got, want)
		}
	}
}

// durableTraces are the realisations on disk.
func durableTraces(t testing.TB, db *DB) (n int) {
	t.Helper()
	for line := range strings.Lines(dump(t, db)) {
		if strings.HasPrefix(line, `"t`) {
			n++
		}
	}
	return n
}

func TestRealisationsWaitForTheirPath(t *testing.T) {
	db := memory(t)
	out := realised("a.drv", "x")
	out.Paths = []Info{info("x", "libc")}
	must(t, db.RegisterProvisional(reg(info("libc")), out))
	must(t, db.RegisterProvisional(realised("b.drv", "x"))) // of a path that is not on disk
	wantWhere(t, db, "x", "a.drv", "b.drv")
	if n := durableTraces(t, db); n > 0 {
		t.Errorf("%d realisations are on disk before their path is", n)
	}
	commit(t, db, "x")
	if n := durableTraces(t, db); n != 2 {
		t.Errorf("%d realisations are on disk with their path, not 2", n)
	}
	must(t, db.RegisterProvisional(realised("c.drv", "x"))) // of one that is
	wantWhere(t, db, "x", "a.drv", "b.drv", "c.drv")
	if n := durableTraces(t, db); n != 3 {
		t.Errorf("%d realisations are on disk, not 3", n)
	}
}

// A realisation of two provisional paths is committed with either of them.
func TestRealisationsOfSeveralPathsAreCommittedTogether(t *testing.T) {
	db := memory(t)
	must(t, db.RegisterProvisional(reg(info("x")), reg(info("y"))))
	both := realised("a.drv", "x")
	both.Realisations = append(both.Realisations, realised("b.drv", "y").Realisations...)
	must(t, db.RegisterProvisional(both))
	if got := db.Pending(named("y")); len(got) != 2 {
		t.Errorf("a commit of y writes %v", names(got))
	}
	commit(t, db, "y")
	wantStage(t, db, "durable", "x", "y")
	if n := durableTraces(t, db); n != 2 {
		t.Errorf("%d realisations are on disk, not 2", n)
	}
}

func TestRealisationsGoWithTheirPath(t *testing.T) {
	for _, durable := range []bool{false, true} {
		db := memory(t)
		must(t, db.RegisterProvisional(reg(info("x")), reg(info("y")), realised("a.drv", "x"), realised("b.drv", "y")))
		if durable {
			commit(t, db, "x", "y")
		}
		must(t, db.Unregister(named("x")))
		wantWhere(t, db, "nowhere", "a.drv")
		wantWhere(t, db, "y", "b.drv")
		must(t, db.RegisterProvisional(reg(info("x"))))
		wantWhere(t, db, "nowhere", "a.drv") // it is not known any more, though the path is back
		must(t, db.Discard(named("x")))
		must(t, db.Unregister(named("y")))
		if left := dump(t, db); left != "" {
			t.Errorf("left behind:\n%s", left)
		}
	}
}

func TestDiscardForgetsRealisations(t *testing.T) {
	db := memory(t)
	must(t, db.RegisterProvisional(reg(info("x")), realised("a.drv", "x")))
	must(t, db.Discard(named("x")))
	wantWhere(t, db, "nowhere", "a.drv")
}

// Where an output lies is not changed while it lies there; signatures gather.
func TestRealisationsStay(t *testing.T) {
	for _, durable := range []bool{false, true} {
		db := memory(t)
		must(t, db.RegisterProvisional(reg(info("x")), reg(info("y")), realised("a.drv", "x", "k:1")))
		if durable {
			commit(t, db, "x", "y")
		}
		must(t, db.RegisterProvisional(realised("a.drv", "y", "k:2")))
		wantWhere(t, db, "x k:1", "a.drv")
		must(t, db.RegisterProvisional(realised("a.drv", "x", "k:3")))
		wantWhere(t, db, "x k:1 k:3", "a.drv")
		commit(t, db, "x")
		wantWhere(t, db, "x k:1 k:3", "a.drv")
	}
}

func TestRealisationsAreOfValidPaths(t *testing.T) {
	db := memory(t)
	var invalid *NotValidError
	if err := db.RegisterProvisional(reg(info("y")), realised("a.drv", "x")); !errors.As(err, &invalid) || invalid.Path != named("x") {
		t.Errorf("error is %v", err)
	}
	wantStage(t, db, "invalid", "y") // all or nothing
}

// Whoever looks after the store knows which derivation a path was made by.
func TestRealisationsAreOutputs(t *testing.T) {
	for _, durable := range []bool{false, true} {
		db := memory(t)
		must(t, db.RegisterProvisional(reg(info("a.drv")), reg(info("x")), realised("a.drv", "x"), realised("gone.drv", "x")))
		if durable {
			commit(t, db, "x", "a.drv")
		}
		drvs, err := db.Derivers(named("x"))
		must(t, err)
		if names(drvs) != "a.drv" {
			t.Errorf("derivers are %v", names(drvs))
		}
		graph, err := db.Graph()
		must(t, err)
		if got := graphText(graph.Nodes); !strings.Contains(got, "makes x") {
			t.Errorf("the graph is\n%s", got)
		}
		all, err := db.Realisations(named("x"))
		must(t, err)
		var of []storepath.Path
		for _, r := range all {
			of = append(of, r.Drv)
		}
		slices.SortFunc(of, storepath.Path.Compare)
		if len(of) != 2 || all[0].ID.Output != "out" {
			t.Errorf("realisations of x are %v", all)
		}
	}
}

func FuzzDecodeRealisation(f *testing.F) {
	f.Add(appendRealisation(nil, realised("a.drv", "x", "k:s").Realisations[0]))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Realisation
		if decodeRealisation(b, &r) == nil && string(appendRealisation(nil, r)) != string(b) {
			var again Realisation // an integer may be written longer than it needs
			if err := decodeRealisation(appendRealisation(nil, r), &again); err != nil || again.Path != r.Path {
				t.Errorf("%q is read as %v, which is read as %v, %v", b, r, again, err)
			}
		}
	})
}
