package messages

import (
	"fmt"
	"strings"
)

// RealiseTargets asks the worker to make targets valid. From client to worker;
// answered by exactly one [TargetsRealised], also after [CancelRequest].
type RealiseTargets struct {
	Request   uint64
	Client    Address // who is answered
	Targets   []Target
	KeepGoing bool
	Urgency   int   // larger goes first; 0 is the ordinary
	Terms     Terms `json:",omitzero"`
	// Within is the goal whose builder asks, if one does: the request is made on
	// that goal's terms, counts as something that it waits for, and ends with it.
	Within Address `json:",omitempty"`
}

// Terms are on what conditions a client wants its builds made. A build that
// several want is made on the terms of the first.
type Terms struct {
	Limits Limits `json:",omitzero"`
	// NoSubstitutes builds all, and AnySubstitutes fetches also what a derivation
	// does not want to be fetched. With Fallback what could not be fetched is built.
	NoSubstitutes  bool `json:",omitempty"`
	AnySubstitutes bool `json:",omitempty"`
	Fallback       bool `json:",omitempty"`
	// Jobs is how many builds there may be at a time, where that is more than the
	// service's own number; 0 is that, and NoLocalBuilds is none here.
	Jobs int `json:",omitempty"`
	// Settings are those that differ from the service's own, as lines of
	// nix.conf sorted by name. Only ports act by them.
	Settings string `json:",omitempty"`
}

// NoLocalBuilds is the [Terms].Jobs of a client that wants nothing built on this
// machine.
const NoLocalBuilds = -1

func (t Terms) String() string {
	text := fmt.Sprintf("silence:%v,total:%v,log:%d", t.Limits.Silence, t.Limits.Total, t.Limits.LogBytes)
	if t.NoSubstitutes {
		text += ",no-substitutes"
	}
	if t.AnySubstitutes {
		text += ",any-substitutes"
	}
	if t.Fallback {
		text += ",fallback"
	}
	if t.Jobs != 0 {
		text += fmt.Sprintf(",jobs:%d", t.Jobs)
	}
	for line := range strings.Lines(t.Settings) {
		text += "," + strings.TrimSpace(line)
	}
	return text
}

// ForgetClient withdraws all of a client's requests, and those that come late;
// nothing of them is answered. From door to worker; the address is not used again.
type ForgetClient struct{ Client Address }

// CancelRequest withdraws a [RealiseTargets]. From client to worker. Goals that
// nobody else wants are cancelled and their builders killed; [AwaitRest] tells
// when that is over.
type CancelRequest struct{ Request uint64 }

// TargetsRealised ends a request: one result a target, in the order asked. A
// valid path in it is durable. From worker to client.
type TargetsRealised struct {
	Request uint64
	Results []Result
}

// AwaitRest asks to be told when nothing is left to do. Answered by [AtRest].
type AwaitRest struct{ From Address }

// AtRest says that the worker has no goal and no request.
type AtRest struct{}

func (*AwaitRest) message()       {}
func (*ForgetClient) message()    {}
func (*AtRest) message()          {}
func (*RealiseTargets) message()  {}
func (*CancelRequest) message()   {}
func (*TargetsRealised) message() {}

func (m *RealiseTargets) String() string  { return line(m) }
func (m *CancelRequest) String() string   { return line(m) }
func (m *TargetsRealised) String() string { return line(m) }
func (m *AwaitRest) String() string       { return line(m) }
func (m *ForgetClient) String() string    { return line(m) }
func (m *AtRest) String() string          { return line(m) }
