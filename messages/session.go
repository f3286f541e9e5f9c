package messages

import "time"

// ClientConnected reports a client that wants a session. From the sessions port
// to door; answered by one [SessionOpened] or [SessionRefused].
//
// Within is the goal whose builder connects, if it is a builder: whatever
// lets that go on lets in what it asks for, too.
type ClientConnected struct {
	Session Address
	Within  Address `json:",omitempty"`
}

// SessionOpened says that the session's actor is there.
type SessionOpened struct{ Session Address }

// SessionRefused says why the client gets no session.
type SessionRefused struct {
	Session Address
	Reason  string
}

// RealiseForClient asks a session to make targets valid for its client. From the
// sessions port to session, one at a time; answered by one [ClientAnswered],
// unless [ClientGone] comes first.
type RealiseForClient struct {
	Request   uint64
	Targets   []Target
	KeepGoing bool
	Terms     Terms   `json:",omitzero"`
	Within    Address `json:",omitempty"` // as in [RealiseTargets]
}

// ClientAnswered ends [RealiseForClient]: one result a target, in the order
// asked. Refused, if not empty, says why nothing was tried.
type ClientAnswered struct {
	Session Address
	Request uint64
	Results []Result
	Refused string `json:",omitempty"`
}

// ClientGone says that the connection is closed, by whomever. From the sessions
// port to session, once; ended by [SessionEnded].
type ClientGone struct{}

// SessionEnded says that nothing is done for the client any more. From session
// to door, which stops it.
type SessionEnded struct{ Session Address }

// CloseConnection asks the sessions port to close a connection, after the
// operation under way or, with Now, at once. The answer is the [ClientGone] that
// comes to the session.
type CloseConnection struct {
	Session Address
	Now     bool `json:",omitempty"`
}

// Drain asks the door to let nobody in any more and to end all sessions: what is
// being built may take Patience. From the sessions port; answered by one
// [Drained].
type Drain struct{ Patience time.Duration }

// Drained says that no session is left.
type Drained struct{}

// FinishUp tells a session to take no new work and to end when what it does is
// done. From door to session.
type FinishUp struct{}

// CutOff tells a session that has been told to finish up that it has no more
// time.
type CutOff struct{}

func (*ClientConnected) message()  {}
func (*SessionOpened) message()    {}
func (*SessionRefused) message()   {}
func (*RealiseForClient) message() {}
func (*ClientAnswered) message()   {}
func (*ClientGone) message()       {}
func (*SessionEnded) message()     {}
func (*CloseConnection) message()  {}
func (*Drain) message()            {}
func (*Drained) message()          {}
func (*FinishUp) message()         {}
func (*CutOff) message()           {}

func (m *ClientConnected) String() string  { return line(m) }
func (m *SessionOpened) String() string    { return line(m) }
func (m *SessionRefused) String() string   { return line(m) }
func (m *RealiseForClient) String() string { return line(m) }
func (m *ClientAnswered) String() string   { return line(m) }
func (m *ClientGone) String() string       { return line(m) }
func (m *SessionEnded) String() string     { return line(m) }
func (m *CloseConnection) String() string  { return line(m) }
func (m *Drain) String() string            { return line(m) }
func (m *Drained) String() string          { return line(m) }
func (m *FinishUp) String() string         { return line(m) }
func (m *CutOff) String() string           { return line(m) }
