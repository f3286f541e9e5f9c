package buildusers_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"troupe/actors/buildusers"
	"troupe/actors/host"
	"troupe/actors/machinetest"
	"troupe/messages"
)

func TestPool(t *testing.T) {
	machinetest.Walk(t, "testdata", func(t *testing.T, d *datadriven.TestData) host.Machine {
		var uids []int
		var why string
		d.MaybeScanArgs(t, "uids", &uids)
		d.MaybeScanArgs(t, "why", &why)
		if d.HasArg("shared") {
			return buildusers.New([]messages.BuildUser{{UID: 1000, GID: 1000, Shared: true}}, "")
		}
		var users []messages.BuildUser
		for _, uid := range uids {
			users = append(users, messages.BuildUser{UID: uid, GID: 100})
		}
		return buildusers.New(users, why)
	})
}
