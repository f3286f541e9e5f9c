package simulation

import (
	"cmp"
	"maps"
	"strings"
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// view is what an onlooker knows of the machines from what they take and send,
// without asking them.
type view struct {
	requests map[uint64]*request
	ids      uint64
	goals    map[messages.Address]*goalView
	byKey    map[messages.GoalKey]messages.Address
	slots    map[messages.Address]messages.Place // held, and where
	lent     map[messages.Address]int            // goal to uid
	waits    map[messages.Address]messages.Wait
	alive    map[messages.Address]bool // actors that were spawned
	failed   map[messages.Address]bool // actors that panicked
	twice    messages.GoalKey          // a goal that was made although it is there
}

// request is one that the worker has taken and not answered.
type request struct {
	*messages.RealiseTargets
	over      []bool // by target: it was answered
	withdrawn bool
}

// goalView is one living goal.
type goalView struct {
	target  messages.Target
	waitees map[messages.GoalKey]int // how often each is awaited
	rank    messages.RankGoal
	weight  time.Duration // what its build counts on the path of those it awaits
	leaving bool          // it was told to cancel, or panicked
}

func newView() *view {
	v := &view{}
	v.crash()
	return v
}

// crash forgets everything but which numbers were used.
func (v *view) crash() {
	v.requests, v.goals = map[uint64]*request{}, map[messages.Address]*goalView{}
	v.byKey, v.slots = map[messages.GoalKey]messages.Address{}, map[messages.Address]messages.Place{}
	v.lent, v.waits = map[messages.Address]int{}, map[messages.Address]messages.Wait{}
	v.alive, v.failed = map[messages.Address]bool{}, map[messages.Address]bool{}
}

func (v *view) newRequest() uint64 {
	v.ids++
	return v.ids
}

// progress notes what goals say they wait for.
func (v *view) progress(m messages.Message) {
	if m, ok := m.(*messages.GoalChanged); ok && v.goals[m.Goal] != nil {
		v.waits[m.Goal] = m.Wait
	}
}

// step notes what a step shows.
func (v *view) step(s host.Step) {
	for _, e := range s.Effects {
		switch e := e.(type) {
		case host.Spawn:
			v.alive[e.Actor] = true
		case host.Stop:
			delete(v.alive, e.Actor)
		}
	}
	if s.Panic != "" {
		v.failed[s.Actor], v.failed["child/"+s.Actor] = true, true
		delete(v.alive, s.Actor)
		delete(v.alive, "child/"+s.Actor) // which ends with it
	}
	switch s.Actor {
	case messages.Worker:
		v.worker(s)
	case messages.Slots:
		v.slot(s)
	case messages.BuildUsers:
		v.user(s)
	}
}

func (v *view) worker(s host.Step) {
	switch m := s.Message.(type) {
	case *messages.RealiseTargets:
		v.requests[m.Request] = &request{RealiseTargets: m, over: make([]bool, len(m.Targets))}
	case *messages.CancelRequest:
		if r := v.requests[m.Request]; r != nil {
			r.withdrawn = true
		}
	case *messages.ForgetClient:
		maps.DeleteFunc(v.requests, func(_ uint64, r *request) bool { return r.Client == m.Client })
	case *messages.AwaitGoals:
		v.await(m)
	case *messages.DropWaitees:
		if g := v.goals[m.From]; g != nil {
			g.waitees = map[messages.GoalKey]int{}
		}
	case *messages.GoalFinished:
		v.finished(m)
	case *messages.ActorFailed:
		if g := v.goals[m.Actor]; g != nil {
			g.waitees, g.leaving = map[messages.GoalKey]int{}, true
		}
	}
	for _, e := range s.Effects {
		v.workerEffect(e)
	}
}

func (v *view) await(m *messages.AwaitGoals) {
	if g := v.goals[m.From]; g != nil && !g.leaving {
		g.weight = cmp.Or(m.Expected, time.Second)
		for _, t := range m.Waitees {
			g.waitees[t.Key()]++
		}
	}
}

// finished answers the requests that wait for a goal. One that stops at its
// first failure is withdrawn by it.
func (v *view) finished(m *messages.GoalFinished) {
	g := v.goals[m.From]
	if g == nil || m.Result.Status == messages.Cancelled {
		return
	}
	for _, r := range v.requests {
		for i, t := range r.Targets {
			if r.over[i] || t.Key() != g.target.Key() || (m.Result.Status.OK() && !m.Result.Covers(t.Outputs)) {
				continue
			}
			r.over[i] = true
			r.withdrawn = r.withdrawn || (!m.Result.Status.OK() && !r.KeepGoing)
		}
	}
}

func (v *view) workerEffect(e host.Effect) {
	switch e := e.(type) {
	case host.Stop:
		goal, _ := strings.CutPrefix(string(e.Actor), "clean-up/")
		v.forget(messages.Address(goal))
	case host.Send:
		switch m := e.Msg.(type) {
		case *messages.Realise:
			if v.byKey[m.Target.Key()] != "" {
				v.twice = m.Target.Key()
			}
			v.goals[e.To] = &goalView{target: m.Target, waitees: map[messages.GoalKey]int{}}
			v.byKey[m.Target.Key()] = e.To
		case *messages.CancelGoal:
			if g := v.goals[e.To]; g != nil {
				g.leaving = true
			}
		case *messages.WaiteeDone:
			if g := v.goals[e.To]; g != nil {
				k := m.Waitee.Key()
				if g.waitees[k]--; g.waitees[k] <= 0 {
					delete(g.waitees, k)
				}
			}
		case *messages.TargetsRealised:
			delete(v.requests, m.Request)
		}
	}
}

func (v *view) forget(goal messages.Address) {
	if g := v.goals[goal]; g != nil && v.byKey[g.target.Key()] == goal {
		delete(v.byKey, g.target.Key())
	}
	delete(v.goals, goal)
	delete(v.waits, goal)
}

func (v *view) slot(s host.Step) {
	switch m := s.Message.(type) {
	case *messages.RankGoal:
		if g := v.goals[m.Goal]; g != nil {
			g.rank = *m
		}
	case *messages.ReleaseSlot:
		delete(v.slots, m.Goal)
	case *messages.ForgetGoal:
		delete(v.slots, m.Goal)
	}
}

func (v *view) user(s host.Step) {
	if m, ok := s.Message.(*messages.ReleaseBuildUser); ok {
		delete(v.lent, m.Goal)
	}
}

// wanted are the goals that a request leads to.
func (v *view) wanted() map[messages.Address]bool {
	found := map[messages.Address]bool{}
	var visit func(k messages.GoalKey)
	visit = func(k messages.GoalKey) {
		at, ok := v.byKey[k]
		if !ok || found[at] {
			return
		}
		found[at] = true
		for next := range v.goals[at].waitees {
			visit(next)
		}
	}
	for _, r := range v.requests {
		if r.withdrawn {
			continue
		}
		for i, t := range r.Targets {
			if !r.over[i] {
				visit(t.Key())
			}
		}
	}
	return found
}
