package slots_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"troupe/actors/host"
	"troupe/actors/machinetest"
	"troupe/actors/slots"
)

func TestSlots(t *testing.T) {
	machinetest.Walk(t, "testdata", func(t *testing.T, d *datadriven.TestData) host.Machine {
		builds, substitutions := 1, 2
		d.MaybeScanArgs(t, "max", &builds)
		d.MaybeScanArgs(t, "substitutions", &substitutions)
		name := string(slots.Shares)
		d.MaybeScanArgs(t, "policy", &name)
		policy, err := slots.ParsePolicy(name)
		if err != nil {
			t.Fatal(err)
		}
		return slots.New(builds, substitutions, policy)
	})
}
