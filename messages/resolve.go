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

// BuiltInput is an input derivation and where its outputs lie; or, with Through, a
// derivation that is an output, as in [DynamicInput].
type BuiltInput struct {
	Drv     storepath.Path
	Through []string `json:",omitempty"`
	Outputs []Output
}

func (b BuiltInput) String() string {
	s := b.Drv.Base()
	for _, output := range b.Through {
		s += "^" + output
	}
	return s + value(b.Outputs)
}

// DerivationResolved names the derivation that is built instead.
type DerivationResolved struct{ Drv storepath.Path }

// RecordRealisations asks the database port to note where outputs of a derivation
// lie: those of the one that it resolved to, or what was fetched. They are valid.
// Answered by [RealisationsRecorded].
type RecordRealisations struct {
	From    Address
	Drv     storepath.Path
	Outputs []Output
	// Signatures, of each of Outputs, are of whoever says so; without, it is us.
	Signatures [][]string `json:",omitempty"`
	// Settings are the client's own; see [Terms].
	Settings string `json:",omitempty"`
}

// RealisationsRecorded ends [RecordRealisations]. Outputs are where those that it
// named lie: where it was noted before that one lies elsewhere, that stays. Error says
// why nothing is noted.
type RealisationsRecorded struct {
	Outputs []Output `json:",omitempty"`
	Error   string   `json:",omitempty"`
}

func (*ResolveDerivation) message()    {}
func (*DerivationResolved) message()   {}
func (*RecordRealisations) message()   {}
func (*RealisationsRecorded) message() {}

func (m *ResolveDerivation) String() string    { return line(m) }
func (m *DerivationResolved) String() string   { return line(m) }
func (m *RecordRealisations) String() string   { return line(m) }
func (m *RealisationsRecorded) String() string { return line(m) }
