//go:build race

package binarycache

// raced says that the race detector runs, with which to pack takes ten times as long.
const raced = true
