package session

import (
	"fmt"
	"slices"

	"troupe/actors/host"
	"troupe/messages"
)

// KindSession is the kind of machine that the door spawns.
const KindSession host.Kind = "session"

// Policy is what the settings say about sessions.
type Policy struct {
	MaxSessions int `json:",omitempty"` // at a time; 0 is no limit
}

// Door lets clients in, as long as the service takes work, and sees that nothing
// stays of those that leave. See [doorTable].
type Door struct {
	policy   Policy
	state    doorState
	sessions []messages.Address        // in order of arrival
	nested   map[messages.Address]bool // those of builders
}

type doorState uint8

const (
	open     doorState = iota
	draining           // nobody comes in but builders; sessions are ending
	shut               // the last has ended
)

var doorStateNames = [...]string{"open", "draining", "shut"}

func (s doorState) String() string { return doorStateNames[s] }

// NewDoor makes the door of a service.
func NewDoor(p Policy) *Door { return &Door{policy: p, nested: map[messages.Address]bool{}} }

func (d *Door) String() string { return fmt.Sprintf("%v sessions=%d", d.state, len(d.sessions)) }

// Step implements [host.Machine].
func (d *Door) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.ClientConnected:
		return d.onConnected(m)
	case *messages.SessionEnded:
		return d.remove(m.Session, host.Stop{Actor: m.Session})
	case *messages.ActorFailed:
		return d.remove(m.Actor,
			host.Send{To: messages.Worker, Msg: &messages.ForgetClient{Client: m.Actor}},
			host.Send{To: messages.Sessions, Msg: &messages.CloseConnection{Session: m.Actor, Now: true}})
	case *messages.Drain:
		return d.onDrain(m)
	case *messages.TimerFired:
		return d.tellAll(&messages.CutOff{})
	}
	panic(fmt.Sprintf("door: unexpected %v", m))
}

// onConnected lets a client in, or not. A builder comes in as long as there is
// anybody whose build it may be: it ends when that does.
func (d *Door) onConnected(m *messages.ClientConnected) []host.Effect {
	s, refusal := m.Session, ""
	clients := len(d.sessions) - len(d.nested)
	switch {
	case m.Within != "" && d.state != shut:
	case d.state != open:
		refusal = goingDown
	case d.policy.MaxSessions > 0 && clients >= d.policy.MaxSessions:
		refusal = fmt.Sprintf("there are %d connections already", clients)
	}
	if refusal != "" {
		return []host.Effect{host.Send{To: messages.Sessions, Msg: &messages.SessionRefused{Session: s, Reason: refusal}}}
	}
	d.sessions = append(d.sessions, s)
	if m.Within != "" {
		d.nested[s] = true
	}
	return []host.Effect{
		host.Spawn{Actor: s, Kind: KindSession},
		host.Send{To: messages.Sessions, Msg: &messages.SessionOpened{Session: s}},
	}
}

// remove forgets a session and what was kept from the collector for it.
func (d *Door) remove(s messages.Address, effects ...host.Effect) []host.Effect {
	i := slices.Index(d.sessions, s)
	if i < 0 {
		return nil // it is said twice
	}
	d.sessions = slices.Delete(d.sessions, i, i+1)
	delete(d.nested, s)
	effects = append(effects, host.Send{To: messages.Database, Msg: &messages.ReleasePaths{Owner: s}})
	return append(effects, d.shutIfEmpty()...)
}

func (d *Door) onDrain(m *messages.Drain) []host.Effect {
	if d.state != open {
		return nil
	}
	d.state = draining
	if len(d.sessions) == 0 {
		return d.shutIfEmpty()
	}
	out := []host.Effect{host.Send{To: messages.Clock, Msg: &messages.StartTimer{Owner: messages.Door, Name: "patience", After: m.Patience}}}
	return append(out, d.tellAll(&messages.FinishUp{})...)
}

func (d *Door) shutIfEmpty() []host.Effect {
	if d.state != draining || len(d.sessions) > 0 {
		return nil
	}
	d.state = shut
	return []host.Effect{
		host.Send{To: messages.Clock, Msg: &messages.CancelTimer{Owner: messages.Door}},
		host.Send{To: messages.Sessions, Msg: &messages.Drained{}},
	}
}

// tellAll tells the sessions of clients. Those of builders end with what they
// are for.
func (d *Door) tellAll(m messages.Message) (out []host.Effect) {
	for _, s := range d.sessions {
		if !d.nested[s] {
			out = append(out, host.Send{To: s, Msg: m})
		}
	}
	return out
}
