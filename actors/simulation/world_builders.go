package simulation

import (
	"fmt"
	"time"

	"troupe/messages"
)

// builders are the machines of a world, or its hook.
type builders struct {
	w        *World
	machines []messages.Machine
	// accepted are goals that a hook waits for, or builds for.
	accepted map[messages.Address]uint64 // the question
	asked    map[messages.Address]uint64
}

// hookJobs is how many builds a hook accepts at a time, and the rest the longest
// times that things take.
const (
	hookJobs    = 2
	connectTime = 500 * time.Millisecond
	answerTime  = 300 * time.Millisecond
	slowAnswer  = 40 * time.Second
)

func newBuilders(w *World) *builders {
	b := &builders{w: w}
	for i := range w.Machines {
		b.machines = append(b.machines, messages.Machine{Name: fmt.Sprintf("ssh-ng://m%d", i), Jobs: 1 + i, Speed: 1000 * (1 + i%2)})
	}
	b.crash()
	return b
}

func (b *builders) crash() {
	b.accepted, b.asked = map[messages.Address]uint64{}, map[messages.Address]uint64{}
}

// elsewhere is where a derivation can be built but here. It is always the same.
func (b *builders) elsewhere(d Drv) (e messages.Elsewhere) {
	if len(b.machines) == 0 && !b.w.Hook || d.Resolve {
		return e
	}
	rng := stream(b.w.Seed, "elsewhere", fnv(d.Drv.Base()))
	foreign := rng.IntN(4) == 0
	e.Needs = []string{"here []", "here [big]", "there []"}[rng.IntN(3)]
	for _, m := range b.machines {
		if rng.IntN(3) > 0 {
			e.Machines = append(e.Machines, m)
		}
	}
	if b.w.Hook {
		e.Hook, e.Machines = "/hook", nil
	}
	if !e.Any() {
		return messages.Elsewhere{}
	}
	e.NotHere = foreign
	return e
}

// hooksPort asks the hook.
func (b *builders) take(m messages.Message) {
	switch m := m.(type) {
	case *messages.AskHook:
		b.asked[m.Goal] = m.Question
		most := answerTime
		if b.w.hit(HookIsSlow) {
			most = slowAnswer
		}
		b.w.work(m.Goal, most, func() { b.answer(m) })
	case *messages.DropHook:
		if b.asked[m.Goal] == m.Question {
			delete(b.asked, m.Goal)
			if b.w.rng.IntN(2) == 0 { // an answer was on its way
				b.w.send(messages.Hooks, messages.Slots, &messages.HookReplied{Goal: m.Goal, Question: m.Question})
			}
		}
		if b.accepted[m.Goal] == m.Question {
			delete(b.accepted, m.Goal)
		}
	default:
		panic(fmt.Sprintf("hooks: unexpected %v", m))
	}
}

func (b *builders) answer(m *messages.AskHook) {
	if b.asked[m.Goal] != m.Question {
		return // it was dropped
	}
	delete(b.asked, m.Goal)
	reply := &messages.HookReplied{Goal: m.Goal, Question: m.Question}
	switch {
	case b.w.hit(HookDies):
		reply.Reason = "build hook died unexpectedly"
	case b.w.hit(HookLies):
		reply.Reply, reply.Reason = messages.HookLies, "bad hook reply 'maybe'"
	case b.w.rng.IntN(4) == 0:
	case len(b.accepted) >= hookJobs || b.w.rng.IntN(4) == 0:
		reply.Reply = messages.HookPostpones
	default:
		reply.Reply, reply.Machine = messages.HookAccepts, "ssh://far"
		b.accepted[m.Goal] = m.Question
	}
	b.w.send(messages.Hooks, messages.Slots, reply)
}

// connect prepares a build elsewhere.
func (b *builders) connect(m *messages.PrepareBuild, is *build) {
	if m.Place.Hook != "" {
		if b.accepted[m.Build] == 0 {
			b.w.fail("builders", fmt.Sprintf("%s is built by a hook that has not accepted it", m.Build))
		}
		b.w.work(m.Build, prepareTime, func() { b.connected(m, is) })
		return
	}
	is.connecting = b.w.work(m.Build, connectTime, func() {
		is.connecting = nil
		if b.w.hit(MachineRefuses) {
			b.w.send(messages.Builds, m.Build, &messages.BuildNotPrepared{Status: messages.MiscFailure, Reason: "connection refused", Lost: true})
			return
		}
		b.connected(m, is)
	})
}

func (b *builders) connected(m *messages.PrepareBuild, is *build) {
	is.prepared = true
	is.refs = b.w.someRefs(m.Inputs)
	b.w.send(messages.Builds, m.Build, &messages.BuildPrepared{Contained: true})
}

// giveUp ends the connecting of a build that nobody wants any more.
func (b *builders) giveUp(is *build) {
	if is != nil && is.connecting != nil {
		b.w.ev.cancel(is.connecting)
		is.connecting = nil
		b.w.work(is.address, killTime, func() {
			b.w.send(messages.Builds, is.address, &messages.BuildNotPrepared{Status: messages.MiscFailure, Reason: "the build was given up", Lost: true})
		})
	}
}

// plays lets a builder elsewhere write something and end. Who builds it keeps the
// limits.
func (b *builders) plays(p *process) {
	w, d := b.w, p.b.drv.Duration
	for range w.rng.IntN(3) {
		w.writes(p, time.Duration(w.rng.Int64N(int64(d)+1)), 100)
	}
	end := &messages.ProcessExited{Exit: messages.Exit{Wall: d}, LastLog: []string{"a line"}}
	machine := p.b.prepare.Place.Machine != ""
	switch {
	case machine && w.hit(MachineIsLost):
		end.Cause, end.Error = messages.MachineLost, "connection reset by peer"
		d = time.Duration(w.rng.Int64N(int64(d) + 1))
	case !machine && w.hit(HookDies):
		end.Cause, end.Status, end.Error = messages.FailedElsewhere, messages.MiscFailure, "build hook failed"
		end.Exit.Code, end.Exit.Signal = -1, 9
	case w.fails(p.b.drv.Drv), w.hit(BuildFails):
		end.Cause, end.Status, end.Exit.Code = messages.FailedElsewhere, messages.PermanentFailure, 100
	}
	if limit := p.b.prepare.Limits.Total; limit > 0 && limit < d {
		d, end.Cause, end.Status = limit, messages.FailedElsewhere, messages.TimedOut
	}
	p.next = w.ev.after(d, p.b.address, w.life, func() { b.exits(p, end) })
}

// exits ends a builder elsewhere.
func (b *builders) exits(p *process, end *messages.ProcessExited) {
	if p.dying && end.Exit.Signal == 0 {
		return
	}
	p.dying = true
	p.b.process = nil
	b.w.closes(p)
	b.w.work(p.b.address, launchTime, func() { b.w.send(messages.Process, p.child, end) })
}

// reason is an error where a goal could be building somewhere, and is not: nothing
// is full, or was lost, or is to be asked again.
func (b *builders) reason(at messages.Address) error {
	w := b.w
	for k := range w.timers {
		if k.owner == messages.Slots {
			return nil // a machine that was lost, or a hook that is asked later
		}
	}
	g := w.view.goals[at]
	d, ok := w.graph.drv(g.target.Path)
	if !ok {
		return fmt.Errorf("%s waits for a machine, and was never read", at)
	}
	e := b.elsewhere(d)
	held, limit := w.view.held(false), w.slotLimit()
	none := limit == 0 || g.rank.Jobs == messages.NoLocalBuilds
	free := !none && held < limit || none && d.PreferLocal && held == 0
	if free && !e.NotHere && len(b.asked) == 0 { // who is being asked about may have a slot
		return fmt.Errorf("%s waits for a machine, and here %d of %d slots are held", at, held, limit)
	}
	if d.PreferLocal && !e.NotHere && !none {
		return nil
	}
	for _, m := range e.Machines {
		if held := w.view.heldOn(m.Name); held == 0 {
			return fmt.Errorf("%s waits for a machine, and %s has nothing to do", at, m.Name)
		}
	}
	return nil
}
