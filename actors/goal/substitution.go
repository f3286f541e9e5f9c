package goal

import (
	"fmt"

	"troupe/actors/host"
	"troupe/messages"
	"troupe/storage/storepath"
)

// Substitution makes one store path valid as it is. No substituter is known
// yet, so a path that is not valid already cannot be made so.
type Substitution struct {
	self   messages.Address
	policy Policy
	target messages.Target
	state  state
}

// NewSubstitution makes the machine of the substitution goal at an address.
func NewSubstitution(self messages.Address, p Policy) *Substitution {
	return &Substitution{self: self, policy: p}
}

func (g *Substitution) String() string { return g.state.String() }

// Step implements [host.Machine].
func (g *Substitution) Step(m messages.Message) []host.Effect {
	switch m := m.(type) {
	case *messages.Realise:
		if g.state == fresh {
			g.state, g.target = initial, m.Target
			return []host.Effect{host.Send{To: messages.Database, Msg: &messages.QueryPaths{
				From: g.self, Paths: []storepath.Path{g.target.Path}}}}
		}
	case *messages.PathsQueried:
		switch g.state {
		case initial:
			r := g.answer(m)
			if !r.Status.OK() || len(m.Provisional) == 0 {
				return g.finish(r)
			}
			g.state = registering
			return []host.Effect{host.Send{To: messages.Store, Msg: &messages.RegisterPaths{From: g.self, Paths: m.Provisional}}}
		case done:
			return nil // it was cancelled meanwhile
		}
	case *messages.PathsRegistered:
		switch g.state {
		case registering:
			return g.finish(messages.Result{Status: messages.AlreadyValid})
		case done:
			return nil // it was cancelled meanwhile
		}
	case *messages.CancelGoal:
		if g.state == initial || g.state == registering {
			return g.finish(messages.Result{Status: messages.Cancelled, Error: "cancelled"})
		}
		return nil
	case *messages.WidenGoal:
		return nil
	}
	panic(fmt.Sprintf("%s in state %v: unexpected %v", g.self, g.state, m))
}

func (g *Substitution) answer(m *messages.PathsQueried) messages.Result {
	switch {
	case m.Error != "":
		return messages.Result{Status: messages.MiscFailure, Error: m.Error}
	case m.Valid[0]:
		return messages.Result{Status: messages.AlreadyValid}
	}
	return messages.Result{Status: messages.NoSubstituters, Error: fmt.Sprintf(
		"path '%s' does not exist and cannot be created", g.policy.StoreDir.Join(g.target.Path))}
}

func (g *Substitution) finish(r messages.Result) []host.Effect {
	g.state = done
	return []host.Effect{
		host.Send{To: messages.Progress, Msg: &messages.GoalEnded{Goal: g.self, Drv: g.target.Path, Result: r}},
		host.Send{To: messages.Worker, Msg: &messages.GoalFinished{From: g.self, Result: r}},
	}
}
