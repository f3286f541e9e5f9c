// Package journal is the record of what machines did: every message that every
// machine took, its state afterwards, and what it asked for.
//
// There are two forms of it. A [Writer] writes lines of JSON, for people and
// their tools. A [Recorder] is the flight recorder that always runs: it keeps
// the newest steps in a few bounded files, in a compact form; see codec.go and
// segment.go. A [Reader] reads both. [Replay] lets machines take the recorded
// messages again and compares what they do.
package journal

import (
	"encoding/json"
	"time"

	"troupe/actors/host"
)

// The formats' numbers: of lines of JSON, and of the compact form.
const (
	linesVersion   = 1
	compactVersion = 2
)

// Header begins each file of a journal.
type Header struct {
	Version int       `json:"troupe-journal"`
	Started time.Time `json:"started"`
	PID     int       `json:"pid,omitempty"`
	Program string    `json:"program,omitempty"` // which version of the code ran
	Segment int       `json:"segment,omitempty"` // number of this file in its run, from 0
	// Settings are what the run's machines were made with.
	Settings json.RawMessage `json:"settings,omitempty"`
}

// Record is one step as it was read.
type Record struct {
	Seq uint64 // in the order in which the steps were recorded, from 1
	host.Step
	// Unknown names a message in the record that this program does not know;
	// the step's message or its effects are missing then.
	Unknown string
}
