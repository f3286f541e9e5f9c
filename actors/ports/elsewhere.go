package ports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"troupe/messages"
	"troupe/sandbox"
	"troupe/storage/buildlog"
	"troupe/storage/buildmachines"
	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
)

// IdentitySetting is what a service calls itself where it is a client that has
// something built. A machine that turns out to be the service itself would wait for
// its own locks for ever. Nix does not know it, and says nothing of it.
const IdentitySetting = "troupe-service"

// RemotePolicy is what the settings say about builds elsewhere.
type RemotePolicy struct {
	Machines *buildmachines.List // nil: there are none
	Hook     Hook                // what is asked instead; without a Program nothing is
	// Substitute lets machines fetch what builds need rather than be sent it.
	Substitute     bool
	KeepFailed     bool
	Cores          uint // NIX_BUILD_CORES there
	ConnectTimeout time.Duration
}

// Hook is a build hook.
type Hook struct {
	Program []string // with its arguments
	// Lines says that it speaks the form of Nix 1: lines of text.
	Lines    bool
	Settings []Setting // that it is told
	System   string    // and what one of Nix 1 is told as arguments
	Limits   messages.Limits
}

// Setting is a name and its value as text.
type Setting struct{ Name, Value string }

// Elsewhere finds who builds in the place of this machine.
type Elsewhere interface {
	// Engage gets hold of who is to make a build. The error is a [*LostError] where
	// it cannot be reached.
	Engage(ctx context.Context, w Work) (Engagement, error)
}

// Work is a build that is made elsewhere.
type Work struct {
	Build      messages.Address
	Place      messages.Place
	Path       storepath.Path
	Derivation *derivation.Derivation
	Inputs     []storepath.Path // the closure
	Outputs    []string         // those that are not valid
	Policy     BuildPolicy
	Limits     messages.Limits
}

// Missing are the paths of the outputs to be made, as far as they are known.
func (w Work) Missing() (paths []storepath.Path) {
	for _, o := range w.Derivation.Outputs {
		if !o.Path.IsZero() && slices.Contains(w.Outputs, o.Name) {
			paths = append(paths, o.Path)
		}
	}
	return paths
}

// Engagement is a build elsewhere that can begin.
type Engagement interface {
	// Build makes the outputs valid here, and returns when nothing of it runs any
	// more. What the builder says goes to log. The error is a [*LostError], a
	// [*FailedError], or that of this machine.
	Build(ctx context.Context, log io.Writer) error
	Close() error
}

// LostError is a machine that cannot be reached, or not any more.
type LostError struct{ Err error }

func (e *LostError) Error() string { return e.Err.Error() }
func (e *LostError) Unwrap() error { return e.Err }

// FailedError is a build that failed elsewhere, or the hook that was to make it.
type FailedError struct {
	Status messages.Status
	Text   string // "" where it is the exit code that tells
	Code   int    // the hook's exit code
	Signal int
}

func (e *FailedError) Error() string { return e.Text }

// elsewhere says where else a derivation that is in the store can be built. What a
// client brings along is not sent on: it may come from a machine that has us as one
// of its own.
func (d *Database) elsewhere(p storepath.Path, drv *derivation.Derivation, features []string, settings string) (e messages.Elsewhere, err error) {
	policy, err := d.s.PolicyOf(settings)
	if err != nil {
		return e, err
	}
	r := policy.Remote
	if r.Machines == nil && r.Hook.Program == nil || d.s.Given.find(p) != nil {
		return e, nil
	}
	e.NotHere = !sandbox.Fits(policy.Sandbox, drv.Platform, features)
	e.Needs = fmt.Sprintf("%s [%s]", drv.Platform, strings.Join(features, ", "))
	if r.Hook.Program != nil {
		e.Hook = strings.Join(r.Hook.Program, " ")
		return e, nil
	}
	all, anew, err := r.Machines.Machines()
	if err != nil { // which is no reason not to build
		if anew {
			d.s.Log.Error().Err(err).Msg("read builders")
		}
		e.Unfit = err.Error()
		return e, nil
	}
	for _, m := range all {
		if m.Fits(drv.Platform, features) {
			e.Machines = append(e.Machines, messages.Machine{Name: m.URL, Jobs: m.Jobs, Speed: thousandths(m.Speed)})
		}
	}
	if len(e.Machines) > 0 {
		return e, nil
	}
	if len(all) == 0 {
		return messages.Elsewhere{}, nil
	}
	e.Unfit = buildmachines.Unfit(all, d.s.Layout.Dir.Join(p), drv.Platform, features)
	return e, nil
}

// thousandths is a speed factor as messages have it.
func thousandths(speed float64) int { return int(min(max(speed*1000, 1), 1e9)) }

// engage prepares a build that is made elsewhere.
func (p *Builds) engage(b *build, m *messages.PrepareBuild) messages.Message {
	b.busy.Lock()
	defer b.busy.Unlock()
	err := p.engageWith(b, m)
	var lost *LostError
	switch {
	case errors.As(err, &lost):
		return &messages.BuildNotPrepared{Status: messages.MiscFailure, Reason: err.Error(), Lost: true}
	case err != nil:
		return refusal(err)
	}
	return &messages.BuildPrepared{Log: buildlog.Path(p.s.Layout.LogDir, b.path), Contained: true}
}

func (p *Builds) engageWith(b *build, m *messages.PrepareBuild) (err error) {
	b.user = messages.BuildUser{UID: os.Geteuid(), GID: os.Getegid(), Shared: true}
	if err := p.read(b, m); err != nil {
		return err
	}
	missing, err := p.clearElsewhere(b)
	if err != nil {
		return err
	}
	inputs, err := b.inputs.closure()
	if err != nil {
		return err
	}
	b.engagement, err = p.elsewhere.Engage(b.hookContext(), Work{Build: b.id, Place: m.Place, Path: b.path, Derivation: b.drv, Inputs: inputs,
		Outputs: missing, Policy: b.policy, Limits: m.Limits})
	if err != nil {
		return err
	}
	if b.policy.KeepLog {
		b.log, err = buildlog.Create(p.s.Layout.LogDir, b.path)
	}
	return err
}

// clearElsewhere removes what lies at the outputs' places and is not valid, and
// says which outputs are to be made.
func (p *Builds) clearElsewhere(b *build) (missing []string, err error) {
	if err := p.findValid(b); err != nil {
		return nil, err
	}
	for _, o := range b.drv.Outputs {
		if _, valid := b.valid[o.Name]; valid {
			continue
		}
		missing = append(missing, o.Name)
		if !o.Path.IsZero() {
			if _, err := localstore.Remove(p.s.Layout.RealPath(o.Path)); err != nil {
				return nil, err
			}
		}
	}
	return missing, nil
}

// adopt takes what was made elsewhere for what it is: valid outputs stay, and the
// others are where their builder left them, if anywhere.
func (p *Builds) adopt(b *build) error {
	if err := p.findValid(b); err != nil {
		return err
	}
	b.reused, b.redirected = map[string]bool{}, map[string]storepath.Path{}
	for name := range b.valid {
		b.reused[name] = true
	}
	for _, o := range b.drv.Outputs {
		if o.Path.IsZero() && !b.reused[o.Name] {
			return &rejection{messages.OutputRejected, 0, fmt.Errorf("builder for '%s' failed to produce output path for output '%s'",
				p.s.Layout.Dir.Join(b.path), o.Name)}
		}
	}
	return nil
}

// runElsewhere is run for a build that another machine makes.
func (p *Process) runElsewhere(m *messages.Launch, b *build) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	w := &logPump{p: p, b: b, child: m.Child, tail: newTail(b.policy.LogLines)}
	p.start(m.Build, b, stopper(cancel))
	p.out.Send(m.Child, &messages.ProcessStarted{At: p.out.Now()})
	begun := time.Now()
	err := b.engagement.Build(ctx, w)
	p.forget(m.Build)
	p.builds.endLog(b)
	b.exit = messages.Exit{Wall: time.Since(begun)}
	end := &messages.ProcessExited{LastLog: w.tail.lines()}
	var lost *LostError
	var failed *FailedError
	switch {
	case errors.As(err, &failed):
		b.exit.Code, b.exit.Signal = failed.Code, failed.Signal
		end.Cause, end.Status, end.Error = messages.FailedElsewhere, failed.Status, failed.Text
	case errors.As(err, &lost):
		end.Cause, end.Error = messages.MachineLost, err.Error()
	case err != nil:
		end.Cause, end.Status, end.Error = messages.FailedElsewhere, messages.MiscFailure, err.Error()
	}
	end.Exit = b.exit
	p.out.Send(m.Child, &messages.EOF{})
	p.out.Send(m.Child, end)
}

// stopper ends a build elsewhere.
type stopper context.CancelCauseFunc

// Kill implements [killer].
func (s stopper) Kill() error {
	s(errOver)
	return nil
}

// logPump takes what a builder says to its log, and tells its child.
type logPump struct {
	p     *Process
	b     *build
	child messages.Address
	tail  *tail
	size  int64
}

// Write implements [io.Writer]. It is for one goroutine at a time.
func (l *logPump) Write(said []byte) (int, error) {
	l.tail.add(said)
	if l.b.log != nil {
		_, err := l.b.log.Write(said)
		l.p.builds.warn(err, "write build log")
	}
	n := int64(len(said))
	l.p.out.Send(l.child, &messages.ChildOutput{From: l.size, To: l.size + n, LastLine: l.tail.last(), At: l.p.out.Now()})
	l.size += n
	return len(said), nil
}
