package child_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"troupe/actors/child"
	"troupe/actors/host"
	"troupe/actors/machinetest"
)

func TestChild(t *testing.T) {
	machinetest.Walk(t, "testdata", func(*testing.T, *datadriven.TestData) host.Machine { return child.New("child/a") })
}
