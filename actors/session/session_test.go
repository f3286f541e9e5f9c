package session_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"troupe/actors/host"
	"troupe/actors/machinetest"
	"troupe/actors/session"
)

func TestSession(t *testing.T) {
	machinetest.Walk(t, "testdata/session", func(*testing.T, *datadriven.TestData) host.Machine { return session.New("session/1") })
}

func TestDoor(t *testing.T) {
	machinetest.Walk(t, "testdata/door", func(t *testing.T, d *datadriven.TestData) host.Machine {
		var p session.Policy
		d.MaybeScanArgs(t, "max", &p.MaxSessions)
		return session.NewDoor(p)
	})
}
