package simulation_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"troupe/actors/host"
	"troupe/actors/journal"
	"troupe/actors/machines"
	"troupe/actors/simulation"
)

// seeds is how many worlds the test runs. CI runs more; the race detector looks
// for what more seeds would not show it.
func seeds() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("TROUPE_SEEDS"), 10, 64); err == nil {
		return n
	}
	if os.Getenv("CI") != "" && !raced {
		return enough
	}
	return unlessRaced(1_000, 200)
}

// unlessRaced returns n, or fewer under the race detector.
func unlessRaced(n, fewer uint64) uint64 {
	if raced {
		return fewer
	}
	return n
}

// enough seeds see nearly every row of the machines' tables.
const enough = 6_000

func TestSeeds(t *testing.T) {
	c := simulation.Campaign{First: 1, Last: seeds(), Faults: simulation.Usual()}
	got := c.Run(t.Context())
	for _, f := range got.Failures {
		t.Errorf("%v\n%v\n%s", f.Scenario, f, strings.Join(f.Trace, "\n"))
	}
	var b strings.Builder
	got.Coverage.Report(&b)
	if share := got.Coverage.Share(); got.Runs >= enough && share < 0.95 {
		t.Errorf("only %.1f %% of the pairs of state and message were seen", share*100)
	}
	t.Logf("%d runs, %d steps, %v of the worlds' time in %v\n%s", got.Runs, got.Steps, got.Virtual, got.Elapsed, b.String())
}

// steps remembers what was recorded, as text.
type steps []string

func (s *steps) Record(st host.Step) { *s = append(*s, journal.Record{Step: st}.String()) }

// TestTheTreeDoesTheSame runs the same seeds on the plain machines and on the
// real tree of actors: their journals are the same to the letter.
func TestTheTreeDoesTheSame(t *testing.T) {
	for seed := range unlessRaced(150, 50) {
		s := simulation.Random(seed, simulation.Usual())
		var plain, tree steps
		a := simulation.Run(s, simulation.Options{Journal: &plain})
		b := simulation.Run(s, simulation.Options{Journal: &tree, Tree: true})
		if a.Failure != nil || b.Failure != nil {
			t.Fatal(seed, a.Failure, b.Failure)
		}
		for i := range max(len(plain), len(tree)) {
			if i >= len(plain) || i >= len(tree) || plain[i] != tree[i] {
				t.Fatalf("seed %d: step %d of %d and %d differs\n%v\n%v", seed, i, len(plain), len(tree), plain[i:min(i+1, len(plain))], tree[i:min(i+1, len(tree))])
			}
		}
	}
}

// TestReplay replays what a simulation recorded, which has everything in it that
// a real run can have.
func TestReplay(t *testing.T) {
	for seed := range uint64(60) {
		s := simulation.Random(seed, simulation.Usual())
		s.Faults[simulation.ServiceDies], s.Faults[simulation.ServiceEnds], s.Faults[simulation.ActorPanics] = 0, 0, 0
		dir := t.TempDir()
		settings := simulation.Settings(s)
		r, err := journal.NewRecorder(journal.RecorderOptions{Dir: dir, Size: 1 << 30, Header: journal.Header{Started: time.Now()}})
		if err != nil {
			t.Fatal(err)
		}
		simulation.Run(s, simulation.Options{Journal: r})
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		runs, err := journal.Runs(dir)
		if err != nil || len(runs) != 1 {
			t.Fatal(runs, err)
		}
		j, err := journal.Open(runs[0].Files...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := journal.Replay(j, machines.FixedKinds(), settings.Make)
		if err != nil || got.Steps == 0 || got.Skipped > 0 || got.Cut != nil || len(got.Differences) > 0 {
			t.Errorf("seed %d: %d steps, %d skipped, %v, %v: %v", seed, got.Steps, got.Skipped, got.Cut, err, got.Differences)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestKeptSeeds(t *testing.T) {
	text, err := os.ReadFile("testdata/seeds")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		number, what, _ := strings.Cut(line, " ")
		seed, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if r := simulation.Run(simulation.Random(seed, simulation.Usual()), simulation.Options{}); r.Failure != nil {
			t.Errorf("%s: %v\n%s", strings.TrimSpace(what), r.Failure, strings.Join(r.Failure.Trace, "\n"))
		}
	}
}
