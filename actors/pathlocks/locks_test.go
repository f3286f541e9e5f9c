package pathlocks_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"troupe/actors/host"
	"troupe/actors/machinetest"
	"troupe/actors/pathlocks"
)

func TestLocks(t *testing.T) {
	machinetest.Walk(t, "testdata", func(*testing.T, *datadriven.TestData) host.Machine { return pathlocks.New() })
}
