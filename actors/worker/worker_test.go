package worker_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"troupe/actors/host"
	"troupe/actors/machinetest"
	"troupe/actors/worker"
)

func TestWorker(t *testing.T) {
	machinetest.Walk(t, "testdata", func(*testing.T, *datadriven.TestData) host.Machine { return worker.New("/nix/store") })
}
