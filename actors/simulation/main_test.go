package simulation_test

import (
	"runtime/debug"
	"testing"
)

// TestMain lets garbage grow: a world is small and makes much of it, and to collect it at
// every few megabytes takes a third of the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	m.Run()
}
