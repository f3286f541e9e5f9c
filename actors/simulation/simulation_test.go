package simulation_test

import (
	"os"
	"strings"
	"testing"

	"troupe/actors/simulation"
)

// seeds is how many worlds the test runs; CI runs more.
func seeds() uint64 {
	if os.Getenv("CI") != "" {
		return 10_000
	}
	return 1_000
}

func TestSeeds(t *testing.T) {
	c := simulation.Campaign{First: 1, Last: seeds(), Faults: simulation.Usual()}
	got := c.Run(t.Context())
	for _, f := range got.Failures {
		t.Errorf("%v\n%v\n%s", f.Scenario, f, strings.Join(f.Trace, "\n"))
	}
	var b strings.Builder
	got.Coverage.Report(&b)
	t.Logf("%d runs, %d steps, %v of the worlds' time in %v\n%s", got.Runs, got.Steps, got.Virtual, got.Elapsed, b.String())
}
