package simulation

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"troupe/messages"
	"troupe/storage/storepath"
)

// build is one build as the ports have it.
type build struct {
	address  messages.Address
	drv      Drv
	prepare  *messages.PrepareBuild
	prepared bool
	over     bool             // nothing is to be started any more
	refs     []storepath.Path // what the outputs will refer to
	process  *process

	connecting *event // to another machine
}

// process is a builder that runs.
type process struct {
	w      *World
	b      *build
	child  messages.Address
	dying  bool
	closed bool          // its output
	shutAt time.Duration // when it was closed
	log    int64
	began  time.Duration
	spoke  time.Duration // when it wrote last, or began
	next   *event        // what it does next
	visit  *visit        // its connection to the service, or nil
}

const (
	prepareTime = 20 * time.Millisecond
	finishTime  = 20 * time.Millisecond
	launchTime  = 10 * time.Millisecond
	killTime    = 50 * time.Millisecond
)

func (w *World) buildsPort(m messages.Message) {
	switch m := m.(type) {
	case *messages.PrepareBuild:
		w.onPrepare(m)
	case *messages.EndHooks: // there are none after a build
		w.builders.giveUp(w.builds[m.Build])
	case *messages.InspectPaths:
		w.work(m.From, finishTime, func() { w.send(messages.Builds, m.From, w.inspect(m.Paths)) })
	case *messages.FinishBuild:
		w.work(m.Build, finishTime, func() { w.onFinish(m.Build) })
	case *messages.DiscardBuild:
		if b := w.builds[m.Build]; b != nil {
			b.over = true
		}
		w.kill(m.Build)
		w.work(m.Build, finishTime+killTime, func() { w.discardBuild(m) })
	default:
		panic(fmt.Sprintf("builds: unexpected %v", m))
	}
}

// onFinish does nothing for a build that was discarded meanwhile.
func (w *World) onFinish(build messages.Address) {
	if b := w.builds[build]; b != nil {
		w.send(messages.Builds, build, w.finishBuild(b))
	}
}

// maker is a valid derivation that has a path as an output.
func (w *World) maker(p storepath.Path) storepath.Path {
	for _, d := range w.graph.Drvs {
		if w.disk.valid(d.Drv) && slices.ContainsFunc(d.Outputs, func(o messages.Output) bool { return o.Path == p }) {
			return d.Drv
		}
	}
	return storepath.Path{}
}

// inspect finds now and then that contents have changed.
func (w *World) inspect(paths []storepath.Path) messages.Message {
	answer := &messages.PathsInspected{}
	for _, p := range paths {
		if w.hit(ContentsChange) {
			answer.Wrong = append(answer.Wrong, p)
		}
	}
	for _, r := range w.disk.referredBy(paths) {
		if w.hit(ContentsChange) {
			answer.Others = append(answer.Others, messages.WrongPath{Path: r, Maker: w.maker(r)})
		}
	}
	if w.hit(QueryFails) {
		answer.Error = "the disk cannot be read"
	}
	return answer
}

// discardBuild ends a build, once its process is dead.
func (w *World) discardBuild(m *messages.DiscardBuild) {
	b := w.builds[m.Build]
	if b != nil && b.process != nil {
		w.work(m.Build, killTime, func() { w.discardBuild(m) })
		return
	}
	delete(w.builds, m.Build)
	w.send(messages.Builds, cmp.Or(m.From, m.Build), &messages.BuildDiscarded{})
}

func (w *World) onPrepare(m *messages.PrepareBuild) {
	d, ok := w.graph.drv(m.Drv)
	if !ok {
		w.fail("builds", fmt.Sprintf("%v was never read", m.Drv))
		return
	}
	b := &build{address: m.Build, drv: d, prepare: m}
	w.builds[m.Build] = b
	if !m.Place.Here() {
		w.builders.connect(m, b)
		return
	}
	w.work(m.Build, prepareTime, func() {
		if w.hit(NotPrepared) {
			w.send(messages.Builds, m.Build, &messages.BuildNotPrepared{Status: messages.MiscFailure, Reason: "no space left on device"})
			return
		}
		b.prepared = true
		b.refs = w.someRefs(m.Inputs)
		w.send(messages.Builds, m.Build, &messages.BuildPrepared{Contained: w.Boxed})
	})
}

func (w *World) someRefs(inputs []storepath.Path) (refs []storepath.Path) {
	for _, p := range inputs {
		if w.rng.IntN(2) == 0 {
			refs = append(refs, p)
		}
	}
	return refs
}

func (w *World) finishBuild(b *build) messages.Message {
	switch {
	case w.hit(OutputRejected) && b.drv.Fixed:
		return &messages.BuildRejected{Status: messages.OutputRejected, Flaw: messages.HashMismatch, Reason: "hash mismatch"}
	case w.hit(OutputRejected):
		return &messages.BuildRejected{Status: messages.OutputRejected, Reason: "an output is missing"}
	}
	answer := &messages.BuildFinished{}
	for _, o := range b.drv.Outputs {
		o.Path = w.output(b.drv, o.Name)
		answer.Outputs = append(answer.Outputs, o)
		if b.prepare.Mode == messages.Check {
			continue
		}
		w.disk.leases.add(b.address, o.Path)
		if !w.disk.valid(o.Path) {
			w.disk.register(o.Path, b.refs)
		}
		if b.drv.Unknown && !b.drv.Impure {
			w.trace1(b.drv.Drv, o)
		}
	}
	return answer
}

func (w *World) process(m messages.Message) {
	switch m := m.(type) {
	case *messages.Launch:
		w.launch(m)
	case *messages.KillProcess:
		w.kill(m.Build)
	default:
		panic(fmt.Sprintf("process: unexpected %v", m))
	}
}

func (w *World) launch(m *messages.Launch) {
	b := w.builds[m.Build]
	if b == nil || !b.prepared {
		w.fail("builds", fmt.Sprintf("%s is launched and was not prepared", m.Build))
		return
	}
	w.work(m.Build, launchTime, func() {
		switch {
		case b.over:
			return
		case !b.prepare.Place.Here():
		case w.hit(SandboxRefused):
			w.send(messages.Process, m.Child, &messages.ProcessFailed{Reason: "the kernel does not give a sandbox"})
			return
		case w.hit(NotExecutable):
			w.send(messages.Process, m.Child, &messages.ProcessFailed{Reason: "it cannot be executed", Builder: true})
			return
		}
		p := &process{w: w, b: b, child: m.Child, began: w.ev.now, spoke: w.ev.now}
		b.process = p
		if !b.prepare.Place.Here() {
			w.send(messages.Process, m.Child, &messages.ProcessStarted{At: w.ev.now})
			w.builders.plays(p)
			return
		}
		w.users.begin(b.prepare.User, b.address)
		w.send(messages.Process, m.Child, &messages.ProcessStarted{PID: 1000 + w.steps, At: w.ev.now})
		w.plays(p)
	})
}

// plays lets a builder write something and end, as its derivation and the faults
// have it.
func (w *World) plays(p *process) {
	d := p.b.drv.Duration
	lines := w.rng.IntN(3)
	for i := range lines {
		w.writes(p, d*time.Duration(i+1)/time.Duration(lines+1), 100)
	}
	switch {
	case w.hit(BuilderHangs):
		return
	case w.hit(LogFlood):
		w.writes(p, d/2, 3<<20)
	}
	exit := messages.Exit{Wall: d}
	switch {
	case w.fails(p.b.drv.Drv), w.hit(BuildFails):
		exit.Code = 1
	case w.hit(OutOfMemory):
		exit.Code, exit.Signal = -1, 9
	}
	if w.hit(ClosesOutput) {
		w.ev.after(d/2, p.b.address, w.life, func() { w.closes(p) })
	}
	if p.b.drv.Nests && w.hit(BuilderAsks) {
		w.asksWithin(p, exit)
		return
	}
	p.next = w.ev.after(d, p.b.address, w.life, func() { w.exits(p, exit) })
}

func (w *World) writes(p *process, after time.Duration, bytes int64) {
	w.ev.after(after, p.b.address, w.life, func() {
		if p.closed {
			return
		}
		w.send(messages.Process, p.child, &messages.ChildOutput{From: p.log, To: p.log + bytes, LastLine: "a line", At: w.ev.now})
		p.log += bytes
		p.spoke = w.ev.now
	})
}

func (w *World) closes(p *process) {
	if !p.closed {
		p.closed, p.shutAt = true, w.ev.now
		w.send(messages.Process, p.child, &messages.EOF{})
	}
}

// exits ends a builder, when it is not killed meanwhile. What it may have left behind under its user stays.
func (w *World) exits(p *process, exit messages.Exit) {
	if p.dying && exit.Signal == 0 {
		return
	}
	p.dying = true
	p.hangUp()
	w.users.end(p.b.prepare.User, p.b.address, !w.Boxed && w.hit(LeavesProcesses))
	p.b.process = nil
	w.closes(p)
	w.work(p.b.address, launchTime, func() {
		w.send(messages.Process, p.child, &messages.ProcessExited{Exit: exit, LastLog: []string{"a line"}})
	})
}

func (w *World) kill(at messages.Address) {
	b := w.builds[at]
	if b == nil || b.process == nil || b.process.dying {
		return
	}
	p := b.process
	p.dying = true
	if p.next != nil {
		w.ev.cancel(p.next)
	}
	if !b.prepare.Place.Here() {
		end := &messages.ProcessExited{Exit: messages.Exit{Code: -1, Signal: 9}, Cause: messages.FailedElsewhere, Status: messages.MiscFailure, Error: "the build was given up"}
		w.work(at, killTime, func() { w.builders.exits(p, end) })
		return
	}
	w.work(at, killTime, func() { w.exits(p, messages.Exit{Code: -1, Signal: 9}) })
}

// running lists the builds that have a process, in the order of their addresses.
func (w *World) running() (all []messages.Address) {
	for at, b := range w.builds {
		if b.process != nil {
			all = append(all, at)
		}
	}
	slices.Sort(all)
	return all
}
