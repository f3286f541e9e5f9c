package messages

import "time"

// Realise starts a goal. From worker to a new goal, once; ended by the goal's
// [GoalFinished].
type Realise struct {
	Target    Target
	KeepGoing bool
	Terms     Terms `json:",omitzero"`
}

// WidenGoal tells a goal that it is wanted for more than [Realise] said.
type WidenGoal struct {
	Outputs   []string
	KeepGoing bool
}

// AwaitGoals asks the worker for what a goal needs first. Answered by one
// [WaiteeDone] a target, in any order.
type AwaitGoals struct {
	From     Address
	Waitees  []Target
	Expected time.Duration // of the asking goal's own build; 0 where unknown
}

// DropWaitees withdraws all of a goal's [AwaitGoals]: after a failure without
// keep-going the rest is not awaited. From goal to worker.
type DropWaitees struct{ From Address }

// WaiteeDone tells a goal that one it waits for has ended. From worker to each
// waiter.
type WaiteeDone struct {
	Waitee Target
	Result Result
}

// GoalFinished reports a goal's end. From goal to worker, which tells the
// waiters and then stops the goal.
type GoalFinished struct {
	From   Address
	Result Result
}

// CancelGoal tells a goal that nobody wants it any more. It kills what it
// started, gives back what it holds and answers with [GoalFinished].
type CancelGoal struct{}

// CleanUpGoal starts a clean-up: what a goal that panicked has is given back, and
// then the worker is told, in its place, that it finished with Result. From
// worker to a new clean-up, once; ended by that [GoalFinished].
type CleanUpGoal struct {
	Goal   Address
	Fetch  bool `json:",omitempty"` // it is a substitution goal
	Result Result
}

// ActorFailed reports that an actor panicked and was stopped. From the host to
// whoever spawned it.
type ActorFailed struct {
	Actor  Address
	Reason string
}

func (*Realise) message()      {}
func (*WidenGoal) message()    {}
func (*AwaitGoals) message()   {}
func (*DropWaitees) message()  {}
func (*WaiteeDone) message()   {}
func (*GoalFinished) message() {}
func (*CancelGoal) message()   {}
func (*ActorFailed) message()  {}
func (*CleanUpGoal) message()  {}

func (m *Realise) String() string      { return line(m) }
func (m *WidenGoal) String() string    { return line(m) }
func (m *AwaitGoals) String() string   { return line(m) }
func (m *DropWaitees) String() string  { return line(m) }
func (m *WaiteeDone) String() string   { return line(m) }
func (m *GoalFinished) String() string { return line(m) }
func (m *CancelGoal) String() string   { return line(m) }
func (m *ActorFailed) String() string  { return line(m) }
func (m *CleanUpGoal) String() string  { return line(m) }
