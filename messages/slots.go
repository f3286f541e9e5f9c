package messages

import "time"

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
// slot. Ended by [ForgetGoal].
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
// [SlotFree] or one [SlotRefused], unless [ReleaseSlot] withdraws it.
type AcquireSlot struct {
	Goal        Address
	Kind        SlotKind      `json:",omitempty"`
	Expected    time.Duration // of the build, from earlier runs; 0 where unknown
	PreferLocal bool          // may run with max-jobs 0 while nothing else runs
}

// SlotFree grants a slot, held until [ReleaseSlot]. From slots to goal.
type SlotFree struct{}

// SlotRefused says that no slot can ever be granted here.
type SlotRefused struct{ Reason string }

// ReleaseSlot gives a slot back, or withdraws the request for one. A goal that
// has neither may send it.
type ReleaseSlot struct{ Goal Address }

func (*RankGoal) message()    {}
func (*ForgetGoal) message()  {}
func (*AcquireSlot) message() {}
func (*SlotFree) message()    {}
func (*SlotRefused) message() {}
func (*ReleaseSlot) message() {}

func (m *RankGoal) String() string    { return line(m) }
func (m *ForgetGoal) String() string  { return line(m) }
func (m *AcquireSlot) String() string { return line(m) }
func (m *SlotFree) String() string    { return line(m) }
func (m *SlotRefused) String() string { return line(m) }
func (m *ReleaseSlot) String() string { return line(m) }
