package messages

import (
	"time"

	"troupe/storage/storepath"
)

// ReadDerivation asks the database port for what a goal must know of a
// derivation. Answered by [DerivationRead], [DerivationMissing] or
// [DerivationUnreadable].
type ReadDerivation struct {
	From Address
	Drv  storepath.Path
	// Settings are the client's own; see [Terms].
	Settings string `json:",omitempty"`
}

// DerivationRead is a derivation as far as decisions depend on it.
type DerivationRead struct{ Recipe Recipe }

// DerivationMissing says that the derivation is not valid.
type DerivationMissing struct{}

// DerivationUnreadable says that the derivation cannot be parsed or resolved, needs
// what is not supported, or asks for what it may not have.
type DerivationUnreadable struct {
	Status Status
	Reason string
}

// Recipe is the part of a derivation that scheduling depends on; its
// environment and arguments concern only the ports.
type Recipe struct {
	Drv     storepath.Path
	Outputs []Output // sorted by name
	Inputs  []Target // input derivations and which of their outputs
	Sources []storepath.Path
	Fixed   bool // a fixed output: its failures are not cached
	// CA is the content address of a fixed output.
	CA string `json:",omitempty"`
	// OnlyBuilt says that no output is to be fetched: allowSubstitutes is off.
	OnlyBuilt   bool `json:",omitempty"`
	PreferLocal bool
	Expected    time.Duration // of the build, from earlier runs; 0 where unknown
	// Unknown says that the outputs have no paths before they are built: where
	// they lie, if anywhere, comes with [PathsQueried].
	Unknown bool `json:",omitempty"`
	// Impure ones are built for each request anew.
	Impure bool `json:",omitempty"`
	// Resolve says that another derivation is built in the place of this one; see
	// [ResolveDerivation].
	Resolve bool `json:",omitempty"`
	// Dynamic are inputs that are outputs of outputs.
	Dynamic []DynamicInput `json:",omitempty"`
	// Nests says that the builder may ask for other builds.
	Nests bool `json:",omitempty"`
	// Locks are what is locked in the place of outputs without paths.
	Locks []storepath.Path `json:",omitempty"`
	// Elsewhere is where else it can be built.
	Elsewhere Elsewhere `json:",omitzero"`
}

// DynamicInput are outputs of a derivation that is itself an output: of Drv its
// output Through[0], of that its output Through[1], and so on.
type DynamicInput struct {
	Drv     storepath.Path
	Through []string
	Outputs []string
}

func (r Recipe) String() string { return r.Drv.Base() }

// QueryPaths asks the database port which paths are valid or known to fail.
// The paths are made temporary roots first, so that what is found valid stays.
// Answered by [PathsQueried].
type QueryPaths struct {
	From  Address
	Paths []storepath.Path
	// Drv, if not zero, is a derivation of which it is asked where the outputs lie.
	Drv storepath.Path `json:",omitzero"`
}

// PathsQueried answers [QueryPaths] in its order.
type PathsQueried struct {
	Valid  []bool
	Failed []bool // builds of it failed before and the failure is cached
	// Outputs are those of Drv that lie at a valid path.
	Outputs []Output `json:",omitempty"`
	// Provisional are the valid ones that a crash would lose. Whoever reports one
	// registers it: who built it may not have come to that yet, or never will.
	Provisional []storepath.Path
	Error       string `json:",omitempty"` // the database could not be read
}

// KeepPaths keeps paths from the collector for somebody, until [ReleasePaths].
// From worker to the database port; no answer.
type KeepPaths struct {
	Owner Address
	Paths []storepath.Path
}

// ReleasePaths ends what was kept for somebody, by [QueryPaths] or [KeepPaths],
// once all that came up to Epoch is over (see [EpochsOver]); 0 is at once. What a goal
// found or made serves those who waited for it, and they do not ask again. From
// worker and door to the database port; no answer.
type ReleasePaths struct {
	Owner Address
	Epoch uint64 `json:",omitempty"`
}

// EpochsOver says that every request that came before this one is answered, and
// every goal gone that was made before it came. From worker to the database port;
// no answer.
type EpochsOver struct{ Before uint64 }

// RegisterPaths tells the store that paths are valid provisionally: known inside
// this process, not yet on disk. From goal to store, before it reports them, and from
// ports where no goal may; answered by [PathsRegistered].
type RegisterPaths struct {
	From  Address
	Paths []storepath.Path
}

// PathsRegistered ends [RegisterPaths]: the store will see to the paths'
// durability.
type PathsRegistered struct{}

// MakeDurable asks that paths and their closures survive a crash. From worker
// to store; answered by one [PathsDurable] or [PathsNotDurable] with the same
// Ticket.
type MakeDurable struct {
	From   Address
	Ticket uint64
	Paths  []storepath.Path
}

// PathsDurable says that the paths' contents and records are on disk.
type PathsDurable struct{ Ticket uint64 }

// PathsNotDurable says that they could not be written, and why.
type PathsNotDurable struct {
	Ticket uint64
	Reason string
}

// CommitPaths asks the database port to flush the contents of provisional
// paths and then to write their records in one synced batch. Answered by
// [PathsCommitted].
type CommitPaths struct {
	Batch uint64
	Paths []storepath.Path
}

// PathsCommitted ends [CommitPaths]; Error is empty when all is on disk.
type PathsCommitted struct {
	Batch uint64
	Error string `json:",omitempty"`
}

// RecordFailure notes in the failure cache that paths could not be built. From
// goal to the database port; no answer.
type RecordFailure struct {
	Paths  []storepath.Path
	Status Status
}

func (*ReadDerivation) message()       {}
func (*DerivationRead) message()       {}
func (*DerivationMissing) message()    {}
func (*DerivationUnreadable) message() {}
func (*QueryPaths) message()           {}
func (*PathsQueried) message()         {}
func (*KeepPaths) message()            {}
func (*ReleasePaths) message()         {}
func (*EpochsOver) message()           {}
func (*RegisterPaths) message()        {}
func (*PathsRegistered) message()      {}
func (*MakeDurable) message()          {}
func (*PathsDurable) message()         {}
func (*PathsNotDurable) message()      {}
func (*CommitPaths) message()          {}
func (*PathsCommitted) message()       {}
func (*RecordFailure) message()        {}

func (m *ReadDerivation) String() string       { return line(m) }
func (m *DerivationRead) String() string       { return line(m) }
func (m *DerivationMissing) String() string    { return line(m) }
func (m *DerivationUnreadable) String() string { return line(m) }
func (m *QueryPaths) String() string           { return line(m) }
func (m *PathsQueried) String() string         { return line(m) }
func (m *KeepPaths) String() string            { return line(m) }
func (m *ReleasePaths) String() string         { return line(m) }
func (m *EpochsOver) String() string           { return line(m) }
func (m *RegisterPaths) String() string        { return line(m) }
func (m *PathsRegistered) String() string      { return line(m) }
func (m *MakeDurable) String() string          { return line(m) }
func (m *PathsDurable) String() string         { return line(m) }
func (m *PathsNotDurable) String() string      { return line(m) }
func (m *CommitPaths) String() string          { return line(m) }
func (m *PathsCommitted) String() string       { return line(m) }
func (m *RecordFailure) String() string        { return line(m) }
