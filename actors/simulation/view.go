package simulation

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"troupe/actors/host"
	"troupe/actors/worker"
	"troupe/messages"
)

// view is what an onlooker knows of the machines from what they take and send,
// without asking them.
type view struct {
	requests  map[uint64]*request
	told      *request // which the step under way answers, or one before
	ids       uint64
	looks     uint64 // ever; see [view.wanted]
	goals     map[messages.Address]*goalView
	living    []*goalView // the same
	byKey     map[messages.GoalKey]messages.Address
	slots     map[messages.Address]messages.Place    // held, and where
	lent      map[messages.Address]int               // goal to uid
	ranked    map[messages.Address]messages.RankGoal // goals that slots knows, whether they are there still or not
	alive     map[messages.Address]bool              // actors that were spawned
	failed    map[messages.Address]bool              // actors that panicked
	forgotten map[messages.Address]bool              // clients that the worker was told to forget
	twice     messages.GoalKey                       // a goal that was made although it is there
	measuring bool                                   // the worker gathers what makes paths longer
}

// request is one that the worker has taken and not answered.
type request struct {
	*messages.RealiseTargets
	keys      []messages.GoalKey // of its targets
	over      []bool             // by target: it was answered
	withdrawn bool
}

// goalView is one living goal.
type goalView struct {
	at       messages.Address
	target   messages.Target
	key      messages.GoalKey
	terms    messages.Terms
	waitees  map[messages.GoalKey]int // how often each is awaited
	rank     messages.RankGoal
	weight   time.Duration   // what its build counts on the path of those it awaits
	wait     messages.Wait   // what it says it waits for
	audience map[uint64]bool // the requests that it is said to be needed for
	leaving  bool            // it was told to cancel, or panicked
	lost     bool            // a substituter has an output of it, and did not give it
	wanted   uint64          // the newest look at which it was wanted; see [view.wanted]
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
	v.lent, v.living = map[messages.Address]int{}, nil
	v.ranked, v.measuring = map[messages.Address]messages.RankGoal{}, false
	v.alive, v.failed, v.forgotten = map[messages.Address]bool{}, map[messages.Address]bool{}, map[messages.Address]bool{}
}

func (v *view) newRequest() uint64 {
	v.ids++
	return v.ids
}

// progress notes what goals say they wait for.
func (v *view) progress(m messages.Message) {
	switch m := m.(type) {
	case *messages.GoalChanged:
		if g := v.goals[m.Goal]; g != nil {
			g.wait = m.Wait
		}
	case *messages.GoalWanted:
		v.audience(m)
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
		v.panicked(s.Actor)
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

// panicked notes that an actor is gone, and a child with its goal.
func (v *view) panicked(at messages.Address) {
	v.failed[at] = true
	delete(v.alive, at)
	for child := range v.alive {
		if strings.HasPrefix(string(child), "child/") && strings.HasSuffix(string(child), "/"+string(at)) {
			v.failed[child] = true
			delete(v.alive, child)
		}
	}
}

func (v *view) worker(s host.Step) {
	switch m := s.Message.(type) {
	case *messages.RealiseTargets:
		if v.forgotten[m.Client] {
			return // and it is never answered
		}
		v.requests[m.Request] = v.asked(*m)
	case *messages.CancelRequest:
		if r := v.requests[m.Request]; r != nil {
			r.withdrawn = true
		}
	case *messages.ForgetClient:
		v.forgotten[m.Client] = true
		maps.DeleteFunc(v.requests, func(_ uint64, r *request) bool { return r.Client == m.Client })
	case *messages.TimerFired:
		v.measuring = false
	case *messages.AwaitGoals:
		v.await(m)
	case *messages.DropWaitees:
		v.dropWaitees(m.From)
	case *messages.GoalFinished:
		v.finished(m)
		v.dropWaitees(m.From)
	case *messages.ActorFailed:
		if g := v.goals[m.Actor]; g != nil {
			g.leaving = true
		}
		v.dropWaitees(m.Actor)
	}
	for _, e := range s.Effects {
		v.workerEffect(e)
	}
}

// asked is a request as the worker takes it: that of a builder on the terms of its
// goal, and for nothing where that is not wanted any more.
func (v *view) asked(m messages.RealiseTargets) *request {
	r := &request{RealiseTargets: &m, over: make([]bool, len(m.Targets))}
	for _, t := range m.Targets {
		r.keys = append(r.keys, t.Key())
	}
	if m.Within == "" {
		return r
	}
	g := v.goals[m.Within]
	if g == nil || g.leaving {
		r.withdrawn = true
		return r
	}
	m.Terms = g.terms
	for _, i := range inOrder(m.Targets) {
		if !r.withdrawn && v.leadsTo(r.keys[i], g) {
			r.over[i], r.withdrawn = true, !m.KeepGoing
		}
	}
	return r
}

// inOrder has targets as the worker takes them: by their names.
func inOrder(targets []messages.Target) []int {
	order := make([]int, len(targets))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(targets[a].Path.Name(), targets[b].Path.Name()) })
	return order
}

// leadsTo reports whether what a key stands for waits for a goal, or its builder does.
func (v *view) leadsTo(k messages.GoalKey, goal *goalView) bool {
	at := v.goals[v.byKey[k]]
	if at == nil || at.leaving || at == goal {
		return at == goal
	}
	for next := range at.waitees {
		if v.leadsTo(next, goal) {
			return true
		}
	}
	for _, r := range v.requests {
		for i, k := range r.keys {
			if r.Within == at.at && !r.withdrawn && !r.over[i] && v.leadsTo(k, goal) {
				return true
			}
		}
	}
	return false
}

// closed notes what a builder was told that it may not wait for, as its own goal does
// wait for the builder.
func (r *request) closed(results []messages.Result) {
	for i, res := range results {
		if r.Within != "" && res.Status == messages.DependencyFailed && strings.Contains(res.Error, "itself") {
			r.over[i], r.withdrawn = true, r.withdrawn || !r.KeepGoing
		}
	}
}

// dropWaitees notes that a goal wants nothing any more, and neither does its builder.
func (v *view) dropWaitees(goal messages.Address) {
	if g := v.goals[goal]; g != nil {
		g.waitees = map[messages.GoalKey]int{}
	}
	for _, r := range v.requests {
		r.withdrawn = r.withdrawn || r.Within == goal
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
			if r.over[i] || r.keys[i] != g.key || (m.Result.Status.OK() && !m.Result.Covers(t.Outputs)) {
				continue
			}
			if !t.IsBuild() && !m.Result.Status.OK() && r.Terms != g.terms {
				continue // its own substituters are asked
			}
			r.over[i] = true
			r.withdrawn = r.withdrawn || (!m.Result.Status.OK() && !r.KeepGoing)
		}
	}
}

func (v *view) workerEffect(e host.Effect) {
	switch e := e.(type) {
	case host.Stop:
		goal, _ := strings.CutPrefix(string(e.Actor), worker.CleanUps)
		v.forget(messages.Address(goal))
	case host.Send:
		switch m := e.Msg.(type) {
		case *messages.StartTimer:
			v.measuring = true
		case *messages.Realise:
			k := m.Target.Key()
			if v.byKey[k] != "" {
				v.twice = k
			}
			g := &goalView{at: e.To, target: m.Target, key: k, terms: m.Terms, waitees: map[messages.GoalKey]int{}}
			v.goals[e.To] = g
			v.living = append(v.living, g)
			v.byKey[k] = e.To
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
			if r := v.requests[m.Request]; r != nil {
				v.told = r
				r.closed(m.Results)
			}
			delete(v.requests, m.Request)
		}
	}
}

func (v *view) forget(goal messages.Address) {
	g := v.goals[goal]
	if g == nil {
		return
	}
	if v.byKey[g.key] == goal {
		delete(v.byKey, g.key)
	}
	delete(v.goals, goal)
	v.living = slices.DeleteFunc(v.living, func(x *goalView) bool { return x == g })
}

func (v *view) slot(s host.Step) {
	switch m := s.Message.(type) {
	case *messages.RankGoal:
		v.ranked[m.Goal] = *m
		if g := v.goals[m.Goal]; g != nil {
			g.rank = *m
		}
	case *messages.ReleaseSlot:
		delete(v.slots, m.Goal)
	case *messages.ForgetGoal:
		delete(v.slots, m.Goal)
		delete(v.ranked, m.Goal)
	}
}

func (v *view) user(s host.Step) {
	if m, ok := s.Message.(*messages.ReleaseBuildUser); ok {
		delete(v.lent, m.Goal)
	}
}

// wanted looks which goals a request leads to: those whose number is the one
// returned.
func (v *view) wanted() (look uint64) {
	v.looks++
	for _, r := range v.requests {
		if r.withdrawn {
			continue
		}
		for i, k := range r.keys {
			if !r.over[i] {
				v.want(k)
			}
		}
	}
	return v.looks
}

func (v *view) want(k messages.GoalKey) {
	g := v.goals[v.byKey[k]]
	if g == nil || g.wanted == v.looks {
		return
	}
	g.wanted = v.looks
	for next := range g.waitees {
		v.want(next)
	}
}
