package ports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"troupe/messages"
	"troupe/sandbox"
	"troupe/sandbox/linux"
	"troupe/storage/buildlog"
	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Builds makes what a builder needs, and takes what it made.
type Builds struct {
	out       Outbox
	s         Services
	elsewhere Elsewhere
	prepare   *lanes
	finish    *lanes
	rubbish   rubbish

	nests ServeNest // nil where no builder may ask for anything

	mu     sync.Mutex // guards what follows
	builds map[messages.Address]*build
	roots  map[string]string // directories of [sandbox.Spec.Root], by its text
	boxes  []*box            // that are ready for a build
	closed bool              // no more boxes are kept
}

// Preparing is short and mostly waits for the disk; finishing hashes outputs.
const (
	preparesAtOnce = 8
	finishesAtOnce = 8
)

// build is one build from PrepareBuild to BuildDiscarded. Its fields are
// written while it is prepared and, exit, when its process has ended; the goal that owns it
// asks for one thing at a time.
type build struct {
	id       messages.Address
	path     storepath.Path // of the derivation
	mode     messages.Mode
	user     messages.BuildUser
	policy   BuildPolicy
	settings string // the client's own
	nest     *Nest  // nil where the builder may ask for nothing
	drv      *derivation.Derivation
	options  derivation.Options
	inputs   inputs
	replace  []storepath.Path          // outputs that are valid already and wrong
	valid    map[string]storepath.Path // outputs that are valid already, by name
	reused   map[string]bool           // those of them that stay as they are
	// redirected is where the builder makes outputs that have no place of their own:
	// without a path, or where a valid one takes it and there is no sandbox.
	redirected map[string]storepath.Path

	busy   sync.Mutex // held while it is prepared, finished or discarded
	runner runner
	hooks  struct {
		mu     sync.Mutex // guards what follows
		ctx    context.Context
		cancel context.CancelCauseFunc
		over   bool
	}

	dir      string       // of the build, under a directory that only the service can enter
	places   linux.Places // of the sandbox; empty without one
	box      *box         // nil without one
	spec     sandbox.Spec
	log      *buildlog.Log
	logEnded <-chan struct{} // closed when it is compressed; nil before its end has begun
	start    time.Time
	exit     messages.Exit

	engagement Engagement // of a build elsewhere, which has no places; nil for one here
}

// NewBuilds makes the builds port.
func NewBuilds(out Outbox, s Services, e Elsewhere) *Builds {
	return &Builds{out: out, s: s, elsewhere: e, prepare: newLanes(preparesAtOnce), finish: newLanes(finishesAtOnce), rubbish: newRubbish(),
		builds: map[messages.Address]*build{}, roots: map[string]string{}}
}

// ServeNests lets builders that are to have a nest ask for builds. It is called
// before the first message comes.
func (p *Builds) ServeNests(serve ServeNest) { p.nests = serve }

// Handle takes one message.
func (p *Builds) Handle(m messages.Message) {
	switch m := m.(type) {
	case *messages.PrepareBuild:
		b := p.add(m)
		if !m.Place.Here() { // as many as there are slots: a machine may be slow to answer
			go func() { p.out.Send(m.Build, p.engage(b, m)) }()
			return
		}
		p.prepare.run(func() { p.out.Send(m.Build, p.onPrepare(b, m)) })
	case *messages.FinishBuild:
		p.finish.run(func() { p.out.Send(m.Build, p.onFinish(m)) })
	case *messages.EndHooks:
		if b := p.find(m.Build); b != nil {
			b.endHooks()
		}
	case *messages.InspectPaths:
		p.finish.run(func() { p.out.Send(m.From, p.inspect(m.Paths)) })
	case *messages.DiscardBuild:
		p.finish.run(func() { p.out.Send(cmp.Or(m.From, m.Build), p.onDiscard(m)) })
	case *messages.PathsRegistered: // which [Builds.leave] asked for
	default:
		panic(fmt.Sprintf("builds: unexpected %v", m))
	}
}

// find returns a prepared build, or nil.
func (p *Builds) find(id messages.Address) *build {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.builds[id]
}

// add makes a build known, so that one that is given up at once is discarded.
func (p *Builds) add(m *messages.PrepareBuild) *build {
	b := &build{id: m.Build, path: m.Drv, mode: m.Mode, user: m.User, settings: m.Settings, replace: m.Replace, start: time.Now()}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.builds[m.Build] = b
	return b
}

func (p *Builds) onPrepare(b *build, m *messages.PrepareBuild) messages.Message {
	b.busy.Lock()
	defer b.busy.Unlock()
	if err := p.make(b, m); err != nil {
		return refusal(err)
	}
	return &messages.BuildPrepared{Log: buildlog.Path(p.s.Layout.LogDir, b.path), Contained: b.spec.Spaces.PID, Warnings: b.options.Warnings}
}

// inputError is a failure that is the derivation's fault.
type inputError struct{ error }

func refusal(err error) messages.Message {
	status := messages.MiscFailure
	var platform *sandbox.PlatformError
	if blame := (inputError{}); errors.As(err, &blame) || errors.As(err, &platform) {
		status = messages.InputRejected
	}
	return &messages.BuildNotPrepared{Status: status, Reason: err.Error()}
}

// onDiscard ends what runs of a build and deletes what is left of it.
func (p *Builds) onDiscard(m *messages.DiscardBuild) messages.Message {
	p.mu.Lock()
	b := p.builds[m.Build]
	delete(p.builds, m.Build)
	p.mu.Unlock()
	if b == nil {
		return &messages.BuildDiscarded{}
	}
	b.endHooks()
	p.warn(b.runner.end(), "kill builder")
	b.busy.Lock()
	defer b.busy.Unlock()
	b.nest.close() // it may never have been begun
	answer := &messages.BuildDiscarded{}
	failed := !m.Status.OK() && m.Status != messages.Cancelled
	if failed && b.policy.KeepFailed && b.dir != "" {
		kept, err := p.keep(b)
		p.warn(err, "keep build directory")
		answer.Kept = kept
	}
	p.clean(b, !m.Status.OK())
	if failed && b.drv != nil {
		p.warn(p.s.DB.RegisterProvisional(validity.Registration{Drv: b.path, Build: b.record(m.Status.String())}), "record failed build")
	}
	return answer
}

// removeRedirected removes what was made again and not put in place.
func (p *Builds) removeRedirected(b *build) {
	for _, scratch := range b.redirected {
		_, err := localstore.Remove(p.s.Layout.RealPath(scratch))
		p.warn(err, "remove output that was made again")
	}
}

// removeScratch removes what a failed builder without a sandbox left at its
// outputs' places, which nobody may write to afterwards.
func (p *Builds) removeScratch(b *build) {
	for _, o := range b.drv.Outputs {
		if b.reused[o.Name] || o.Path.IsZero() {
			continue
		}
		if valid, err := p.s.DB.Valid(o.Path); err != nil || valid {
			p.warn(err, "look up output")
			continue
		}
		_, err := localstore.Remove(p.s.Layout.RealPath(o.Path))
		p.warn(err, "remove output of failed build")
	}
}

// Close removes what is left of builds, and the roots that they have shared.
func (p *Builds) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.rubbish.pending.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.boxes {
		p.removeBox(x)
	}
	p.boxes = nil
	for text, dir := range p.roots {
		_, err := localstore.Remove(dir)
		p.warn(err, "remove sandbox's root")
		delete(p.roots, text)
	}
}

func (p *Builds) warn(err error, what string) {
	if err != nil {
		p.s.Log.Warn().Err(err).Msg(what)
	}
}

// keep moves the build directory out of the service's own, to where the person
// who asked for it can look at it. It stays its builder's.
func (p *Builds) keep(b *build) (string, error) {
	if err := os.Chmod(b.hostBuild(), 0o755); err != nil {
		return "", err
	}
	if b.policy.BuildDir != p.s.Layout.BuildsDir() || os.Geteuid() != 0 { // who asked can reach it there
		if err := os.WriteFile(filepath.Join(b.dir, localstore.KeptName), nil, 0o644); err != nil {
			return "", err
		}
		place, dir := b.hostBuild(), b.dir
		b.dir = ""
		return place, os.Chmod(dir, 0o755)
	}
	kept, err := os.MkdirTemp("", "nix-build-"+b.path.Name()+"-")
	if err != nil {
		return "", err
	}
	place := filepath.Join(kept, "build")
	if err := localstore.Move(b.hostBuild(), place); err != nil {
		return "", errors.Join(err, os.Remove(kept))
	}
	return place, os.Chmod(kept, 0o755)
}
