package store_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"troupe/actors/host"
	"troupe/actors/machinetest"
	"troupe/actors/store"
)

func TestStore(t *testing.T) {
	machinetest.Walk(t, "testdata", func(t *testing.T, d *datadriven.TestData) host.Machine {
		gather := 100
		d.MaybeScanArgs(t, "gather", &gather)
		return store.New(store.Policy{Gather: gather, Linger: time.Second})
	})
}
