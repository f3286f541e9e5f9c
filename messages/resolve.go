package messages

import "troupe/storage/storepath"

// ResolveDerivation asks the database port for the derivation that is built in
// the place of one whose inputs are valid: it has their outputs as sources and
// no input derivations. It is valid provisionally when the answer comes.
// Answered by [DerivationResolved] or [DerivationUnreadable].
type ResolveDerivation struct {
	From   Address
	Drv    storepath.Path
	Inputs []BuiltInput
}

// BuiltInput is an input derivation and where its outputs lie.
type BuiltInput struct {
	Drv     storepath.Path
	Outputs []Output
}

func (b BuiltInput) String() string { return b.Drv.Base() + value(b.Outputs) }

// DerivationResolved names the derivation that is built instead.
type DerivationResolved struct{ Drv storepath.Path }

// RecordRealisations asks the database port to note that the outputs of a
// derivation are those of the one that it resolved to. Answered by
// [RealisationsRecorded].
type RecordRealisations struct {
	From    Address
	Drv     storepath.Path
	Outputs []Output
	// Settings are the client's own; see [Terms].
	Settings string `json:",omitempty"`
}

// RealisationsRecorded ends [RecordRealisations]; Error says why nothing is noted.
type RealisationsRecorded struct {
	Error string `json:",omitempty"`
}

func (*ResolveDerivation) message()    {}
func (*DerivationResolved) message()   {}
func (*RecordRealisations) message()   {}
func (*RealisationsRecorded) message() {}

func (m *ResolveDerivation) String() string    { return line(m) }
func (m *DerivationResolved) String() string   { return line(m) }
func (m *RecordRealisations) String() string   { return line(m) }
func (m *RealisationsRecorded) String() string { return line(m) }
