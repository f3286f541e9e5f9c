package messages

import (
	"time"

	"troupe/storage/storepath"
)

// A build is known between a goal and the builds port by the goal's address.

// PrepareBuild asks the builds port for all that a builder needs: the closure
// of its inputs, its directory and root, its environment, its log. Stale
// leftovers at the outputs' places are deleted, which the goal's locks allow.
// Answered by [BuildPrepared] or [BuildNotPrepared].
type PrepareBuild struct {
	Build  Address
	Drv    storepath.Path
	Mode   Mode
	Inputs []storepath.Path // named outputs of the inputs, and sources
	User   BuildUser
	// Replace are valid outputs whose contents are wrong, to be put there anew.
	Replace []storepath.Path `json:",omitempty"`
	// Settings are the client's own; see [Terms].
	Settings string `json:",omitempty"`
	// Place is where it is built. Elsewhere it takes no user, and Limits are for
	// whoever builds it.
	Place  Place  `json:",omitzero"`
	Limits Limits `json:",omitzero"`
}

// InspectPaths asks the builds port whether what lies at valid paths, and at all
// that they refer to, is what is recorded of them. From goal; answered by
// [PathsInspected].
type InspectPaths struct {
	From  Address
	Paths []storepath.Path
}

// PathsInspected has the paths that are gone or changed.
type PathsInspected struct {
	Wrong  []storepath.Path // of those that were asked for
	Others []WrongPath      `json:",omitempty"` // that these refer to
	Error  string           `json:",omitempty"` // they could not be looked at
}

// WrongPath is a valid path whose contents are gone or changed.
type WrongPath struct {
	Path  storepath.Path
	Maker storepath.Path `json:",omitzero"` // a valid derivation with it as an output; zero where there is none
}

// BuildPrepared says that a child can be started.
type BuildPrepared struct {
	Log string
	// Contained says that nothing of the builder can outlive its first process.
	Contained bool
	Warnings  []string `json:",omitempty"` // of what the derivation asks for and does not get
}

// BuildNotPrepared says why the builder cannot run.
type BuildNotPrepared struct {
	Status Status
	Reason string
	// Lost says that it is the machine's fault, or the way to it.
	Lost bool `json:",omitempty"`
}

// FinishBuild asks the builds port to take the outputs of a builder that
// succeeded: check ownership, canonicalise, hash, scan, check references, move
// into place, and make them valid provisionally. Answered by [BuildFinished]
// or [BuildRejected].
type FinishBuild struct{ Build Address }

// BuildFinished says that the outputs are in place. With [Check] nothing is
// moved, and the outputs are the same as the valid ones.
type BuildFinished struct{ Outputs []Output }

// BuildRejected says what is wrong with the outputs.
type BuildRejected struct {
	Status Status
	Flaw   Flaw `json:",omitempty"`
	Reason string
}

// DiscardBuild asks the builds port to kill what may still run of a build, and
// when it is dead to delete a build's directories, or to
// keep the build directory where the policy wants that of a failure, and to note
// in the history how it ended. Answered
// by [BuildDiscarded]. A build that was never prepared is discarded at once.
type DiscardBuild struct {
	Build  Address
	From   Address `json:",omitempty"` // who is answered, if not the build's goal
	Status Status
}

// BuildDiscarded ends a build; Kept is the build directory if it stays.
type BuildDiscarded struct{ Kept string }

// EndHooks asks the builds port to end the hooks of a build that nobody wants any
// more, and the connecting to a machine. From goal; no answer.
type EndHooks struct{ Build Address }

// Exit is the end of a builder process and what it used.
type Exit struct {
	Code       int // exit code, or -1
	Signal     int `json:",omitempty"` // signal that ended it, or 0
	Wall       time.Duration
	CPUUser    time.Duration
	CPUSystem  time.Duration
	PeakMemory uint64 `json:",omitempty"` // bytes; 0 where unknown
}

func (*PrepareBuild) message()     {}
func (*BuildPrepared) message()    {}
func (*InspectPaths) message()     {}
func (*PathsInspected) message()   {}
func (*BuildNotPrepared) message() {}
func (*FinishBuild) message()      {}
func (*BuildFinished) message()    {}
func (*BuildRejected) message()    {}
func (*EndHooks) message()         {}
func (*DiscardBuild) message()     {}
func (*BuildDiscarded) message()   {}

func (m *PrepareBuild) String() string     { return line(m) }
func (m *BuildPrepared) String() string    { return line(m) }
func (m *InspectPaths) String() string     { return line(m) }
func (m *PathsInspected) String() string   { return line(m) }
func (m *BuildNotPrepared) String() string { return line(m) }
func (m *FinishBuild) String() string      { return line(m) }
func (m *BuildFinished) String() string    { return line(m) }
func (m *BuildRejected) String() string    { return line(m) }
func (m *EndHooks) String() string         { return line(m) }
func (m *DiscardBuild) String() string     { return line(m) }
func (m *BuildDiscarded) String() string   { return line(m) }
