package goal_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"troupe/actors/goal"
	"troupe/actors/host"
	"troupe/actors/machinetest"
)

func TestDerivation(t *testing.T) {
	machinetest.Walk(t, "testdata/derivation", func(t *testing.T, d *datadriven.TestData) host.Machine {
		return goal.NewDerivation("drv/a", &goal.Policy{StoreDir: "/nix/store", CacheFailure: d.HasArg("cache-failure")})
	})
}

func TestSubstitution(t *testing.T) {
	machinetest.Walk(t, "testdata/substitution", func(*testing.T, *datadriven.TestData) host.Machine {
		return goal.NewSubstitution("path/a", &goal.Policy{StoreDir: "/nix/store"})
	})
}
