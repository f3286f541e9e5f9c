package simulation_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"troupe/actors/host"
	"troupe/actors/journal"
	"troupe/actors/simulation"
)

type pr struct{}

func (pr) Record(s host.Step) { fmt.Println(journal.Record{Step: s}) }

func TestOne(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("SEED"))
	if n == 0 {
		return
	}
	r := simulation.Run(simulation.Random(uint64(n), simulation.Usual()), simulation.Options{Journal: pr{}, Tree: os.Getenv("TREE") != ""})
	fmt.Println(r.Failure)
}
