package messages

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"troupe/storage/storepath"
)

// Status says how a goal ended. The names and numbers are those of the daemon
// protocol's BuildResult.
type Status uint8

const (
	Built Status = iota
	Substituted
	AlreadyValid
	PermanentFailure
	InputRejected
	OutputRejected // hash mismatches too
	TransientFailure
	CachedFailure
	TimedOut
	MiscFailure
	DependencyFailed
	LogLimitExceeded
	NotDeterministic
	ResolvesToAlreadyValid
	NoSubstituters
	// Cancelled is ours: nobody wanted the goal any more.
	Cancelled
)

var statusNames = [...]string{
	"built", "substituted", "already-valid", "permanent-failure", "input-rejected",
	"output-rejected", "transient-failure", "cached-failure", "timed-out", "misc-failure",
	"dependency-failed", "log-limit-exceeded", "not-deterministic",
	"resolves-to-already-valid", "no-substituters", "cancelled",
}

func (s Status) String() string { return statusNames[s] }

// OK reports whether the wanted paths are valid.
func (s Status) OK() bool {
	return s == Built || s == Substituted || s == AlreadyValid || s == ResolvesToAlreadyValid
}

// Flaw is a set of what went wrong below a goal; the exit code is made of it.
type Flaw uint8

const (
	BuildFailed Flaw = 1 << iota
	TimeOut
	HashMismatch // a fixed output had another hash
	Nondeterminism
	SubstituterFailed // one that had the path, or was asked for it
)

// Flaw is what a status says of a goal itself.
func (s Status) Flaw() Flaw {
	switch s {
	case PermanentFailure, CachedFailure, LogLimitExceeded, InputRejected:
		return BuildFailed
	case TimedOut:
		return TimeOut
	case NotDeterministic:
		return Nondeterminism
	}
	return 0
}

func (f Flaw) String() string {
	names := []string{}
	for i, name := range []string{"build-failed", "time-out", "hash-mismatch", "nondeterminism", "substituter-failed"} {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+")
}

// Output is one output of a derivation and where it lies.
type Output struct {
	Name string
	Path storepath.Path
}

func (o Output) String() string { return o.Name + "=" + o.Path.Base() }

// Result is the end of a goal.
type Result struct {
	Status   Status
	Flaw     Flaw          `json:",omitempty"`
	Error    string        `json:",omitempty"` // for people; empty when OK
	Outputs  []Output      `json:",omitempty"` // the valid ones, by name
	Partial  bool          `json:",omitempty"` // there are others, which were not wanted
	Duration time.Duration `json:",omitempty"` // of the builder itself
}

func (r Result) String() string {
	if r.Status.OK() {
		return fmt.Sprintf("%v%v", r.Status, r.Outputs)
	}
	status := r.Status.String()
	if more := r.Flaw &^ r.Status.Flaw(); more != 0 {
		status += "+" + more.String()
	}
	return fmt.Sprintf("%s(%q)", status, r.Error)
}

// Covers reports whether the result has every wanted output. What was wanted when
// the goal ended is not always what is wanted by whoever is told.
func (r Result) Covers(wanted []string) bool {
	for _, w := range wanted {
		if w == AllOutputs && r.Partial || w != AllOutputs && !slices.ContainsFunc(r.Outputs, func(o Output) bool { return o.Name == w }) {
			return false
		}
	}
	return true
}
