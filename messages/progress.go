package messages

import "troupe/storage/storepath"

// GoalChanged tells observers what a goal does now. From goal to progress; no
// answer, and no decision depends on it.
type GoalChanged struct {
	Goal  Address
	Drv   storepath.Path
	State string
	Wait  Wait   `json:",omitzero"` // why it does not go on; zero when it does
	Log   string `json:",omitempty"`
	// Machine is where it is built, if not here.
	Machine string `json:",omitempty"`
}

// GoalWanted tells observers that a goal is needed for requests that did not
// need it before. From worker to progress.
type GoalWanted struct {
	Goal     Address
	Requests []uint64
}

// HookStarted, HookLine and HookEnded are about the post-build hook of a build.
// From the builds port.
type HookStarted struct {
	Goal Address
	Drv  storepath.Path
	Hook string
}

// HookLine is one line of what it says.
type HookLine struct {
	Goal Address
	Line string
}

// HookEnded says that it has ended.
type HookEnded struct{ Goal Address }

// GoalWarned is something that a person should know of a build.
type GoalWarned struct {
	Goal Address
	Text string
}

// SyncProgress is heard after all that was told before it: a client sees the end
// of its builds before the answer. From the sessions port to progress.
type SyncProgress struct{ Request uint64 }

// GoalLine is the newest line of a running builder.
type GoalLine struct {
	Goal Address
	Line string
}

// GoalEnded tells observers how a goal ended.
type GoalEnded struct {
	Goal   Address
	Drv    storepath.Path
	Result Result
	Log    string `json:",omitempty"`
}

// NeedsBuild reports whether a goal in a state is to build something, as far as it
// knows.
func NeedsBuild(goal Address, state string) bool {
	switch state {
	case "new", "init", "getDerivation", "loadDerivation", "haveDerivation", "inspecting", "trySubstitutes", "registering":
		return false
	}
	return !goal.IsFetch()
}

// Shown reports whether people are told of the end of a goal that others wait for.
// That a path cannot be fetched is nothing to tell: it is built then, and who cannot
// do that says so. What went wrong with a fetch was said before.
func Shown(goal Address, r Result) bool {
	return !r.Status.OK() && r.Status != Cancelled && (!goal.IsFetch() || r.Status == MiscFailure)
}

// Wait is why a goal waits.
type Wait struct {
	For    WaitFor
	Detail string `json:",omitempty"` // a path, a count, a name
}

// WaitFor is the kind of thing that a goal can wait for.
type WaitFor uint8

const (
	Nothing WaitFor = iota
	Inputs
	BuildSlot
	PathLock // held by another process
	FreeUser
	Substituter // that is asked
	SubstitutionSlot
	AnyMachine // that can build it
)

var waitNames = [...]string{"nothing", "inputs", "build slot", "path lock", "build user", "substituter", "substitution slot", "machine"}

func (w WaitFor) String() string { return waitNames[w] }

func (w Wait) String() string {
	if w.Detail == "" {
		return w.For.String()
	}
	return w.For.String() + " (" + w.Detail + ")"
}

func (*GoalChanged) message()  {}
func (*GoalLine) message()     {}
func (*SyncProgress) message() {}
func (*HookStarted) message()  {}
func (*HookLine) message()     {}
func (*HookEnded) message()    {}
func (*GoalWarned) message()   {}
func (*GoalWanted) message()   {}
func (*GoalEnded) message()    {}

func (m *GoalChanged) String() string  { return line(m) }
func (m *GoalLine) String() string     { return line(m) }
func (m *SyncProgress) String() string { return line(m) }
func (m *HookStarted) String() string  { return line(m) }
func (m *HookLine) String() string     { return line(m) }
func (m *HookEnded) String() string    { return line(m) }
func (m *GoalWarned) String() string   { return line(m) }
func (m *GoalWanted) String() string   { return line(m) }
func (m *GoalEnded) String() string    { return line(m) }
