package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"troupe/actors/ports"
	"troupe/actors/ports/remotestore"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// machineBuild is a build on a machine to which there is a connection.
type machineBuild struct {
	ports.Work
	r     *Remote
	m     *machine
	c     *remotestore.Conn
	valid []storepath.Path // inputs that are there
	close func()
}

// engageMachine connects to the machine of a build.
func (r *Remote) engageMachine(ctx context.Context, w ports.Work) (ports.Engagement, error) {
	options, err := w.Derivation.Options(r.s.Layout.Dir)
	if err != nil {
		return nil, err
	}
	is, err := find(w, options.RequiredSystemFeatures)
	if err != nil {
		return nil, &ports.LostError{Err: err}
	}
	m, done, err := r.machines.use(r, is, w)
	if err != nil {
		return nil, &ports.LostError{Err: err}
	}
	c, valid, err := m.connect(ctx, w.Inputs, w.Policy.Remote.Substitute)
	if err != nil {
		done()
		return nil, &ports.LostError{Err: err} // whatever it is, it was the machine's
	}
	b := &machineBuild{Work: w, r: r, m: m, c: c, valid: valid}
	b.close = sync.OnceFunc(func() {
		m.Release(c)
		done()
	})
	return b, nil
}

// Close implements [ports.Engagement].
func (b *machineBuild) Close() error {
	b.close()
	return nil
}

// Build implements [ports.Engagement].
func (b *machineBuild) Build(ctx context.Context, log io.Writer) error {
	defer b.close()
	err := b.build(ctx, log)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case remotestore.IsLost(err):
		return &ports.LostError{Err: err}
	}
	return err
}

func (b *machineBuild) build(ctx context.Context, log io.Writer) error {
	b.c.Hear = func(f workerproto.Frame) {
		if n, is := f.(*workerproto.Next); is && strings.Contains(n.Text, "note: ") { // where it kept the build directory
			b.warn(strings.TrimSpace(colours.ReplaceAllString(n.Text, "")))
		}
		hear(f, log)
	}
	if err := b.c.Watched(ctx, b.m.silence, b.upload); err != nil {
		return fmt.Errorf("copy inputs of '%s' to '%s': %w", b.r.s.Layout.Dir.Join(b.Path), b.m.name, err)
	}
	result, err := b.perform(ctx)
	if err != nil {
		return b.failed(messages.MiscFailure, err)
	}
	if status := messages.Status(result.Status); !status.OK() {
		if b.Policy.Remote.KeepFailed {
			b.warn("The failed build directory was kept on the remote builder due to `--keep-failed`.")
		}
		return b.failed(known(status), fmt.Errorf("%s", result.Error))
	}
	b.c.Hear = nil
	err = b.c.Watched(ctx, b.m.silence, func(ctx context.Context) error { return b.download(ctx, result) })
	if err != nil {
		return fmt.Errorf("copy outputs of '%s' from '%s': %w", b.r.s.Layout.Dir.Join(b.Path), b.m.name, err)
	}
	return nil
}

func (b *machineBuild) warn(text string) {
	b.r.out.Send(messages.Progress, &messages.GoalWarned{Goal: b.Work.Build, Text: text})
}

// known is a status of a failure that we know.
func known(s messages.Status) messages.Status {
	if s >= messages.Cancelled {
		return messages.MiscFailure
	}
	return s
}

// failed is a build that failed there; a machine that was lost is something else.
// The words are those of Nix's hook.
func (b *machineBuild) failed(s messages.Status, err error) error {
	if remotestore.IsLost(err) {
		return err
	}
	return &ports.FailedError{Status: s, Text: fmt.Sprintf("build of '%s' on '%s' failed: %s", b.r.s.Layout.Dir.Join(b.Path), b.m.name, bare(err.Error()))}
}

// hear takes what a builder there says.
func hear(f workerproto.Frame, log io.Writer) {
	r, ok := f.(*workerproto.Result)
	if !ok || len(r.Fields) == 0 || !r.Fields[0].IsText {
		return
	}
	m := message{Action: "result", Type: uint64(r.Type), Fields: []any{r.Fields[0].Text}}
	if line, isLog := m.logLine(); isLog {
		fmt.Fprintln(log, line) // which does not fail
	}
}

// perform builds. Where we are trusted the machine is told what to build; else it
// has to have the derivations, which prove what their outputs are called. What is
// named by its contents needs no proof.
func (b *machineBuild) perform(ctx context.Context) (*workerproto.BuildResult, error) {
	if b.c.Trust == workerproto.NotTrusted && !b.Derivation.IsFixed() && b.Derivation.KnowsOutputs() {
		return b.performProven(ctx)
	}
	d := *b.Derivation
	if len(d.Inputs) > 0 {
		d.Inputs, d.Sources = nil, b.Inputs
	}
	result, err := b.c.BuildDerivation(ctx, b.Path, d, workerproto.BuildNormal)
	if b.c.Trust == workerproto.TrustUnknown && wantsProof(err) {
		return b.performProven(ctx)
	}
	return result, err
}

// wantsProof reports whether an error is how a store says that it does not trust us,
// which it cannot say before version 1.35.
func wantsProof(err error) bool {
	var refused *workerproto.Error
	return errors.As(err, &refused) && strings.Contains(refused.Message, "you are not privileged to build input-addressed derivations")
}

// performProven builds from the derivation and all that it is made of, which are sent.
func (b *machineBuild) performProven(ctx context.Context) (*workerproto.BuildResult, error) {
	closure, err := b.r.closure(b.Path)
	if err != nil {
		return nil, err
	}
	err = b.c.Watched(ctx, b.m.silence, func(ctx context.Context) error { return b.send(ctx, closure) })
	if err != nil {
		return nil, err
	}
	results, err := b.c.Build(ctx, []workerproto.DerivedPath{{Path: b.Path, Outputs: []string{messages.AllOutputs}}}, workerproto.BuildNormal)
	if err != nil {
		return nil, err
	}
	if len(results) != 1 {
		return nil, &remotestore.LostError{Store: "'" + b.m.name + "'", Err: fmt.Errorf("it has %d results of one build", len(results))}
	}
	return &results[0].Result, nil
}

// closure is all that a path refers to, itself included.
func (r *Remote) closure(p storepath.Path) (all []storepath.Path, err error) {
	for q, err := range r.s.DB.Closure(p) {
		if err != nil {
			return nil, err
		}
		all = append(all, q)
	}
	return all, nil
}
