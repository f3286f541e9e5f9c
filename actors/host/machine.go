// Package host runs machines as protoactor actors. It is the only importer of
// protoactor and the only interpreter of effects: it receives a message,
// calls Step, journals the step and performs what it asks for. It knows
// nothing of derivations, stores or processes.
package host

import (
	"fmt"

	"troupe/messages"
)

// Machine is the pure half of an actor. Step does no I/O, reads no clock,
// starts no goroutine, takes no lock, draws no random number and depends on no
// map order: the same state and message give the same effects. A message that
// the state does not allow panics, and the host ends that actor alone.
type Machine interface {
	Step(messages.Message) []Effect
	String() string // the state, in a line
}

// Tabled is a machine whose transitions are listed in a table, by states that
// may be those of one of the things it keeps.
type Tabled interface {
	Machine
	Table() Table
	// StateFor names the state, as the table does, that takes a message.
	StateFor(messages.Message) string
}

// Effect is what a machine asks of the host.
type Effect interface {
	fmt.Stringer
	effect()
}

// Send delivers a message.
type Send struct {
	To  messages.Address
	Msg messages.Message
}

// Spawn starts a new actor. It is there before the effects that follow; if it
// panics, the spawning actor is told by [messages.ActorFailed]. If the spawning
// actor panics, it ends as well.
type Spawn struct {
	Actor messages.Address
	Kind  Kind
}

// Stop ends an actor that has nothing more to say. Messages still queued for
// it are lost, so it is sent only to one that has reported its end.
type Stop struct{ Actor messages.Address }

// Kind names a sort of machine; the tree knows how to make each.
type Kind string

func (Send) effect()  {}
func (Spawn) effect() {}
func (Stop) effect()  {}

func (e Send) String() string  { return fmt.Sprintf("-> %s %v", e.To, e.Msg) }
func (e Spawn) String() string { return fmt.Sprintf("spawn %s %s", e.Kind, e.Actor) }
func (e Stop) String() string  { return fmt.Sprintf("stop %s", e.Actor) }
