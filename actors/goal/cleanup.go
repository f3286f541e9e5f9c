package goal

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
)

// CleanUp gives back what a goal has that panicked, and finishes in its place.
// The slot, the user and the locks are free only when its builder is dead and
// its directories are gone. See [cleanUpTable].
type CleanUp struct {
	self  messages.Address
	asked messages.CleanUpGoal
	state state
}

// NewCleanUp makes the machine of the clean-up at an address.
func NewCleanUp(self messages.Address) *CleanUp { return &CleanUp{self: self} }

func (c *CleanUp) String() string { return c.state.String() }

// Step implements [host.Machine].
func (c *CleanUp) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.CleanUpGoal:
		if c.state == fresh {
			c.asked, c.state = *m, discarding
			if m.Fetch {
				return []host.Effect{host.Send{To: messages.Caches, Msg: &messages.KillFetch{Goal: m.Goal, From: c.self}}}
			}
			return append(c.cancelTimers(),
				host.Send{To: messages.Caches, Msg: &messages.KillFetch{Goal: m.Goal}}, // it may have been looking for realisations
				host.Send{To: messages.Builds, Msg: &messages.DiscardBuild{Build: m.Goal, From: c.self, Status: m.Result.Status}})
		}
	case *messages.BuildDiscarded, *messages.FetchKilled:
		if c.state == discarding {
			c.state = done
			return c.giveBack()
		}
	}
	panic(fmt.Sprintf("%s in state %v: unexpected %v", c.self, c.state, m))
}

// cancelTimers cancels those of every child that the goal may have had.
func (c *CleanUp) cancelTimers() (out []host.Effect) {
	for lost := range maxLosses + 1 {
		out = append(out, host.Send{To: messages.Clock, Msg: &messages.CancelTimer{Owner: childOf(c.asked.Goal, lost)}})
	}
	return out
}

func (c *CleanUp) giveBack() (out []host.Effect) {
	if !c.asked.Fetch {
		out = append(out, host.Send{To: messages.BuildUsers, Msg: &messages.ReleaseBuildUser{Goal: c.asked.Goal, Dirty: true}})
	}
	return append(out,
		host.Send{To: messages.PathLocks, Msg: &messages.UnlockPaths{Goal: c.asked.Goal}},
		host.Send{To: messages.Progress, Msg: &messages.GoalEnded{Goal: c.asked.Goal, Result: c.asked.Result}},
		host.Send{To: messages.Worker, Msg: &messages.GoalFinished{From: c.asked.Goal, Result: c.asked.Result}})
}

const cleanUpTable = `
state       message         next        effects
----------  --------------  ----------  --------------------------------------------
new         CleanUpGoal     discarding  caches: KillFetch, builds: DiscardBuild where it is no fetch
discarding  BuildDiscarded  done        everything is given back, worker: GoalFinished
discarding  FetchKilled     done        the same
`

// Table implements [host.Tabled].
func (c *CleanUp) Table() host.Table {
	return host.Table{Machine: "goal-clean-up", States: []string{"new", "discarding", "done"}, Text: cleanUpTable}
}

// StateFor implements [host.Tabled].
func (c *CleanUp) StateFor(messages.Message) string { return c.state.String() }
