package messages

import "time"

// StartTimer asks the clock for one [TimerFired] after a while. A timer of the
// same owner and name is started anew.
type StartTimer struct {
	Owner Address
	Name  string
	After time.Duration
}

// CancelTimer withdraws a timer, or, without a name, all of an owner's. One that fires at the same moment may still
// arrive.
type CancelTimer struct {
	Owner Address
	Name  string `json:",omitempty"`
}

// TimerFired says that a timer's time has passed. From clock to the owner.
type TimerFired struct {
	Name string
	At   time.Duration // on the clock's own scale, as in [ChildOutput]
}

func (*StartTimer) message()  {}
func (*CancelTimer) message() {}
func (*TimerFired) message()  {}

func (m *StartTimer) String() string  { return line(m) }
func (m *CancelTimer) String() string { return line(m) }
func (m *TimerFired) String() string  { return line(m) }
