package messages

import (
	"cmp"
	"strings"
	"time"

	"troupe/storage/storepath"
)

// SlotKind is what a slot is for. Builds and substitutions have slots of their
// own, so that neither waits for the other.
type SlotKind uint8

const (
	BuildJob SlotKind = iota
	SubstitutionJob
	SlotKinds int = iota // how many there are
)

func (k SlotKind) String() string { return [...]string{"build", "substitution"}[k] }

// RankGoal tells the slots how urgent a goal is. From worker to slots, when a
// goal appears, when its rank rises, and when it begins or ceases to lend its
// slot. That a path has become longer is told after a moment, in which there may be
// more to tell. Ended by [ForgetGoal].
type RankGoal struct {
	Goal      Address
	Client    Address // the first client that wanted it: shares are counted by client
	Urgency   int
	Jobs      int           `json:",omitempty"` // as in [Terms]: the most that anybody wants for it
	Remaining time.Duration // longest path from here to a top goal, own build excluded
	// Lends says that the goal's builder waits for what it has asked for: its slot
	// does not count meanwhile.
	Lends bool `json:",omitempty"`
}

// ForgetGoal ends a goal's rank, and gives back a slot that it may hold.
type ForgetGoal struct{ Goal Address }

// AcquireSlot asks for a slot. From goal to slots; answered by one
// [SlotFree] or one [SlotRefused], unless [ReleaseSlot] withdraws it. Before the
// answer a [SlotAwaited] may come.
type AcquireSlot struct {
	Goal        Address
	Kind        SlotKind      `json:",omitempty"`
	Expected    time.Duration // of the build, from earlier runs; 0 where unknown
	PreferLocal bool          // is not built elsewhere if it can be here, and may run with max-jobs 0 while nothing else runs
	Elsewhere   Elsewhere     `json:",omitzero"`
	// Drv and Settings are for a hook to be asked; zero without one.
	Drv      storepath.Path `json:",omitzero"`
	Settings string         `json:",omitempty"`
}

// Elsewhere is where a derivation can be built but here. The zero value is
// nowhere.
type Elsewhere struct {
	// Machines are those that can build it, in the order of the settings.
	Machines []Machine `json:",omitempty"`
	// Hook is the program that is asked whether it builds it; "" is none.
	Hook string `json:",omitempty"`
	// NotHere says that this machine is not what the derivation needs.
	NotHere bool `json:",omitempty"`
	// Needs are its system and the features it requires, as text: what a hook
	// says of one derivation it would say of all that need the same.
	Needs string `json:",omitempty"`
	// Unfit says for people why no machine can build it, where there are some.
	Unfit string `json:",omitempty"`
}

// Machine is another one that builds.
type Machine struct {
	Name  string // its store's URL: entries of one name are one machine
	Jobs  int    // how many builds at a time
	Speed int    // its speed factor in thousandths
}

func (m Machine) String() string { return m.Name }

// Any reports whether there is any other place.
func (e Elsewhere) Any() bool { return len(e.Machines) > 0 || e.Hook != "" }

func (e Elsewhere) String() string {
	var words []string
	for _, m := range e.Machines {
		words = append(words, m.Name)
	}
	if e.Hook != "" {
		words = append(words, "hook")
	}
	if e.NotHere {
		words = append(words, "not-here")
	}
	return strings.Join(words, ",")
}

// Place is where a build runs. The zero value is here.
type Place struct {
	Machine string `json:",omitempty"` // the name of a [Machine]
	Hook    string `json:",omitempty"` // the machine that a hook says it builds on, or the hook itself
}

// Here reports whether it is this machine.
func (p Place) Here() bool { return p == Place{} }

// Name is how people call it; "" is here.
func (p Place) Name() string { return cmp.Or(p.Machine, p.Hook) }

func (p Place) String() string { return p.Name() }

// SlotFree grants a slot, held until [ReleaseSlot]. From slots to goal.
type SlotFree struct {
	Place Place `json:",omitzero"`
}

// SlotAwaited says what the goal waits for, where that is more than a slot of this
// machine: it can be built elsewhere. From slots to goal.
type SlotAwaited struct{ For string }

// SlotRefused says that no slot can ever be granted here.
type SlotRefused struct{ Reason string }

// ReleaseSlot gives a slot back, or withdraws the request for one. A goal that
// has neither may send it.
type ReleaseSlot struct {
	Goal Address
	// Lost says that the machine was lost, and how.
	Lost string `json:",omitempty"`
}

// MachineAnswered says that the machine of a goal's slot can be reached. From goal
// to slots; no answer.
type MachineAnswered struct{ Goal Address }

func (*RankGoal) message()        {}
func (*ForgetGoal) message()      {}
func (*AcquireSlot) message()     {}
func (*SlotFree) message()        {}
func (*SlotAwaited) message()     {}
func (*SlotRefused) message()     {}
func (*ReleaseSlot) message()     {}
func (*MachineAnswered) message() {}

func (m *RankGoal) String() string        { return line(m) }
func (m *ForgetGoal) String() string      { return line(m) }
func (m *AcquireSlot) String() string     { return line(m) }
func (m *SlotFree) String() string        { return line(m) }
func (m *SlotAwaited) String() string     { return line(m) }
func (m *SlotRefused) String() string     { return line(m) }
func (m *ReleaseSlot) String() string     { return line(m) }
func (m *MachineAnswered) String() string { return line(m) }
