package validity

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"troupe/storage/storepath"
)

func collect(t testing.TB, seq iter.Seq2[storepath.Path, error]) []storepath.Path {
	t.Helper()
	var out []storepath.Path
	for p, err := range seq {
		must(t, err)
		out = append(out, p)
	}
	return out
}

// mixed is a random graph, a part of which is durable.
func mixed(t testing.TB, rng *rand.Rand, size int) (db *DB, all map[string][]string) {
	db, all = memory(t), map[string][]string{}
	for n := range size {
		name := fmt.Sprint("p", n)
		var refs []string
		for range min(n, rng.IntN(4)) {
			if r := fmt.Sprint("p", rng.IntN(n)); !slices.Contains(refs, r) {
				refs = append(refs, r)
			}
		}
		all[name] = refs
		must(t, db.RegisterProvisional(reg(info(name, refs...))))
		if rng.IntN(8) == 0 {
			commit(t, db, name)
		}
	}
	return db, all
}

// reach is the slow oracle: what can be reached, until nothing is added.
func reach(edges map[string][]string, from string) string {
	found := []storepath.Path{named(from)}
	for grown := true; grown; {
		grown = false
		for _, p := range found {
			for _, r := range edges[p.Name()] {
				if !slices.Contains(found, named(r)) {
					found, grown = append(found, named(r)), true
				}
			}
		}
	}
	return names(found)
}

func reversed(edges map[string][]string) map[string][]string {
	out := map[string][]string{}
	for from, refs := range edges {
		for _, r := range refs {
			out[r] = append(out[r], from)
		}
	}
	return out
}

func TestOracle(t *testing.T) {
	edges := map[string][]string{"a": {"b"}, "b": {"c", "b"}, "d": {"a"}}
	if got := reach(edges, "a"); got != "a b c" {
		t.Errorf("forward: %q", got)
	}
	if got := reach(reversed(edges), "c"); got != "a b c d" {
		t.Errorf("backward: %q", got)
	}
}

func TestClosuresAgreeWithAnOracle(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 7))
		db, edges := mixed(t, rng, 60)
		back := reversed(edges)
		for range 10 {
			name := fmt.Sprint("p", rng.IntN(60))
			if got, want := names(collect(t, db.Closure(named(name)))), reach(edges, name); got != want {
				t.Errorf("seed %d: closure of %s is\n%s, want\n%s", seed, name, got, want)
			}
			if got, want := names(collect(t, db.ReverseClosure(named(name)))), reach(back, name); got != want {
				t.Errorf("seed %d: reverse closure of %s is\n%s, want\n%s", seed, name, got, want)
			}
		}
		count := 0
		for i, err := range db.All() {
			must(t, err)
			count++
			if refs := edges[i.Path.Name()]; len(refs) != len(i.References) {
				t.Errorf("seed %d: %s has references %s", seed, i.Path.Name(), names(i.References))
			}
		}
		if count != 60 {
			t.Errorf("seed %d: %d paths, want 60", seed, count)
		}
	}
}

func TestClosureOfWhatIsNotValid(t *testing.T) {
	db := memory(t)
	var notValid *NotValidError
	for _, err := range db.Closure(named("nothing")) {
		if !errors.As(err, &notValid) {
			t.Errorf("error is %v", err)
		}
	}
	if notValid == nil {
		t.Error("no error")
	}
}

func TestWhatABuildTeaches(t *testing.T) {
	db := memory(t)
	drv, start := named("tool-1.drv"), time.Unix(1700000000, 5)
	b := Build{Start: start, Stop: start.Add(3 * time.Second), UserCPU: 2 * time.Second, SystemCPU: time.Second, PeakMemory: 1 << 30, Log: "log"}
	outputs := map[string]storepath.Path{"out": named("tool-1"), "dev": named("tool-1-dev")}
	must(t, db.RegisterProvisional(reg(info("tool-1.drv")),
		Registration{Paths: []Info{info("tool-1"), info("tool-1-dev")}, Drv: drv, Outputs: outputs, Build: &b}))
	for _, want := range []string{"provisional", "durable"} {
		wantStage(t, db, want, "tool-1", "tool-1-dev")
		if got, err := db.Outputs(drv); err != nil || !cmp.Equal(got, outputs, byValue) {
			t.Errorf("%s: outputs are %v, %v", want, got, err)
		}
		if got, err := db.Derivers(named("tool-1-dev")); err != nil || names(got) != "tool-1.drv" {
			t.Errorf("%s: derivers are %v, %v", want, got, err)
		}
		for _, get := range []func() (Build, bool, error){
			func() (Build, bool, error) { return db.LastBuild(drv) },
			func() (Build, bool, error) { return db.LastNamed("tool-1") },
		} {
			if got, ok, err := get(); err != nil || !ok || !cmp.Equal(got, b) {
				t.Errorf("%s: build is %v, %v, %v", want, got, ok, err)
			}
		}
		if got, err := db.LastDuration("tool-1"); err != nil || got != 3*time.Second {
			t.Errorf("%s: duration is %v, %v", want, got, err)
		}
		if got, ok, err := db.PathFromHashPart(named("tool-1").HashPart()); err != nil || !ok || got != named("tool-1") {
			t.Errorf("%s: by hash part %v, %v, %v", want, got, ok, err)
		}
		commit(t, db, "tool-1", "tool-1.drv")
	}
	if _, ok, err := db.PathFromHashPart(named("nothing").HashPart()); err != nil || ok {
		t.Errorf("an unknown hash part is found, %v", err)
	}
}

func TestAFailedBuildIsNotWhatToExpect(t *testing.T) {
	db := memory(t)
	start := time.Unix(1700000000, 0)
	for n, class := range []string{"", "timed-out"} {
		must(t, db.RegisterProvisional(Registration{Drv: named("x.drv"),
			Build: &Build{Start: start, Stop: start.Add(time.Duration(n+1) * time.Second), Failure: class}}))
	}
	if b, ok, err := db.LastBuild(named("x.drv")); err != nil || !ok || b.Failure != "timed-out" {
		t.Errorf("last build is %v, %v, %v", b, ok, err)
	}
	if d, err := db.LastDuration("x"); err != nil || d != time.Second {
		t.Errorf("expected duration is %v, %v", d, err)
	}
}

func TestABuildHasADerivation(t *testing.T) {
	if err := memory(t).RegisterProvisional(Registration{Build: &Build{}}); err == nil {
		t.Error("a build of no derivation is registered")
	}
}

func TestDeriversAreValid(t *testing.T) {
	db := memory(t)
	must(t, db.RegisterProvisional(Registration{Paths: []Info{info("x")}, Drv: named("x.drv"), Outputs: map[string]storepath.Path{"out": named("x")}}))
	if got, err := db.Derivers(named("x")); err != nil || len(got) > 0 {
		t.Errorf("derivers are %v, %v", got, err)
	}
	must(t, db.RegisterProvisional(reg(info("x.drv"))))
	if got, err := db.Derivers(named("x")); err != nil || names(got) != "x.drv" {
		t.Errorf("derivers are %v, %v", got, err)
	}
}

func TestFailureCache(t *testing.T) {
	db := memory(t)
	f := Failure{Class: "permanent", Time: 12}
	must(t, db.RegisterFailed(f, named("a"), named("b"), named("c")))
	if got, ok, err := db.HasFailed(named("a")); err != nil || !ok || got != f {
		t.Errorf("failure is %v, %v, %v", got, ok, err)
	}
	must(t, db.ClearFailed(named("a")))
	if got := names(collect(t, db.Failed())); got != "b c" {
		t.Errorf("failed are %q", got)
	}
	must(t, db.RegisterProvisional(reg(info("b"))))
	commit(t, db, "b")
	if got := names(collect(t, db.Failed())); got != "c" {
		t.Errorf("after b became valid, failed are %q", got)
	}
}
