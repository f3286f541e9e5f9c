//go:build race

package simulation_test

// raced says that the race detector runs, which takes ten times as long.
const raced = true
