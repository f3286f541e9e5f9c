package messages

import (
	"fmt"
	"strings"
	"time"
)

// StartChild starts a goal's builder. From goal to a new child, once; ended by
// [BuilderExited].
type StartChild struct {
	Goal   Address
	Build  Address
	Limits Limits
}

// Limits are what a child may take; 0 is no limit.
type Limits struct {
	Silence  time.Duration // without output
	Total    time.Duration
	LogBytes int64
}

// KillChild ends the builder early. From goal to child; the answer is the
// [BuilderExited] that comes anyhow.
type KillChild struct{}

// ChildOutput says that a builder wrote something. From process port to child,
// and from child to goal. The bytes are in the build's log already.
type ChildOutput struct {
	From, To int64         // the range of the log that came
	LastLine string        // the last line that is not empty, shortened
	At       time.Duration // when it came, on the clock's scale
}

// EOF says that no process holds the builder's output open any more. From
// process port to child.
type EOF struct{}

// BuilderExited ends a child. From child to goal.
type BuilderExited struct {
	Cause    ExitCause
	Exit     Exit
	Error    string   `json:",omitempty"` // with [NotStarted], [NotExecutable], [FailedElsewhere] and [MachineLost]
	Status   Status   `json:",omitempty"` // with [FailedElsewhere]
	LastLog  []string `json:",omitempty"` // last lines of the log, for the error message
	LogBytes int64
}

// ExitCause says why a builder ended.
type ExitCause uint8

const (
	Exited          ExitCause = iota
	NotStarted                // its sandbox could not be made
	NotExecutable             // it could not be executed
	SilentTooLong             // killed: no output for [Limits].Silence
	RanTooLong                // killed: [Limits].Total passed
	LogTooLong                // killed: [Limits].LogBytes passed
	KilledOnDemand            // killed by [KillChild]
	FailedElsewhere           // on another machine: [BuilderExited].Error says how
	MachineLost               // what has happened there is not known
)

func (c ExitCause) String() string {
	return [...]string{"exited", "not-started", "not-executable", "silent-too-long", "ran-too-long", "log-too-long", "killed-on-demand",
		"failed-elsewhere", "machine-lost"}[c]
}

// Launch asks the process port to start the prepared build; answered by
// [ProcessStarted] or [ProcessFailed]. After the former come [ChildOutput]s,
// one [EOF] and one [ProcessExited], the last of all.
type Launch struct {
	Child Address
	Build Address
}

// ProcessStarted says that the builder runs.
type ProcessStarted struct {
	PID int
	At  time.Duration // on the clock's scale
}

// ProcessFailed says that it does not, and why. Builder says that it is the
// builder that cannot be executed, rather than a sandbox that cannot be made.
type ProcessFailed struct {
	Reason  string
	Builder bool
}

// ProcessExited says that the builder was waited for and that no process of it
// is left.
type ProcessExited struct {
	Exit    Exit
	LastLog []string
	// Cause and what follows are of builds elsewhere; [Exited] of all others.
	Cause  ExitCause `json:",omitempty"`
	Status Status    `json:",omitempty"`
	Error  string    `json:",omitempty"`
}

// KillProcess asks the process port to kill a build's processes, all of them.
type KillProcess struct{ Build Address }

func (*StartChild) message()     {}
func (*KillChild) message()      {}
func (*ChildOutput) message()    {}
func (*EOF) message()            {}
func (*BuilderExited) message()  {}
func (*Launch) message()         {}
func (*ProcessStarted) message() {}
func (*ProcessFailed) message()  {}
func (*ProcessExited) message()  {}
func (*KillProcess) message()    {}

func (e Exit) String() string {
	var b strings.Builder
	if e.Signal != 0 {
		fmt.Fprintf(&b, "signal-%d", e.Signal)
	} else {
		fmt.Fprintf(&b, "code-%d", e.Code)
	}
	fmt.Fprintf(&b, "/wall=%v", e.Wall)
	return b.String()
}

func (m *StartChild) String() string     { return line(m) }
func (m *KillChild) String() string      { return line(m) }
func (m *ChildOutput) String() string    { return line(m) }
func (m *EOF) String() string            { return line(m) }
func (m *BuilderExited) String() string  { return line(m) }
func (m *Launch) String() string         { return line(m) }
func (m *ProcessStarted) String() string { return line(m) }
func (m *ProcessFailed) String() string  { return line(m) }
func (m *ProcessExited) String() string  { return line(m) }
func (m *KillProcess) String() string    { return line(m) }
