package remote

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"troupe/actors/ports"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/addition"
	"troupe/storage/storepath"
)

// question is what is asked for a message, and by which hook.
func (r *Remote) question(m *messages.AskHook) (q question, h ports.Hook, env []string, err error) {
	policy, err := r.s.PolicyOf(m.Settings)
	if err != nil {
		return q, h, nil, err
	}
	drv, err := r.s.ReadDerivation(m.Drv)
	if err != nil {
		return q, h, nil, err
	}
	options, err := drv.Options(r.s.Layout.Dir)
	if err != nil {
		return q, h, nil, err
	}
	if h = policy.Remote.Hook; h.Program == nil {
		return q, h, nil, errors.New("there is no build hook any more")
	}
	env = []string{"NIX_CONFIG=" + policy.Hooks.Config}
	if policy.Hooks.Remote != "" {
		env = append(env, "NIX_REMOTE="+policy.Hooks.Remote)
	}
	features := slices.Compact(slices.Sorted(slices.Values(options.RequiredSystemFeatures)))
	return question{willing: m.Willing, platform: drv.Platform, drv: r.s.Layout.Dir.Join(m.Drv), requiredFeatures: features}, h, env, nil
}

// keyOf is equal for hooks that are started in the same way.
func keyOf(h ports.Hook) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, h)))
}

// hookBuild is a build that a hook has accepted.
type hookBuild struct {
	ports.Work
	r    *Remote
	k    *hook
	once sync.Once // Close
}

// Close implements [ports.Engagement].
func (b *hookBuild) Close() (err error) {
	b.once.Do(func() { err = b.k.kill() })
	return err
}

// lingers is how long what a hook has left behind may keep its output open.
const lingers = time.Second

// Build implements [ports.Engagement]. The hook adds the outputs by way of the
// daemon, or leaves them in their places.
func (b *hookBuild) Build(ctx context.Context, log io.Writer) error {
	stop := context.AfterFunc(ctx, func() { b.Close() })
	defer stop()
	dir := b.r.s.Layout.Dir
	told := append(slices.Clone(b.Inputs), b.Path)
	adder := addition.Adder{Layout: b.r.s.Layout, DB: b.r.s.DB}
	if err := adder.Commit(ctx, told...); err != nil { // it asks the daemon for them, who tells only of what is on disk
		return err
	}
	defer b.r.s.Lent.Lend(b.Missing()...)()
	k := b.k
	if err := b.send(dir); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	if err := k.in.Close(); err != nil {
		return err
	}
	out := &sharedLog{w: log}
	var pumps sync.WaitGroup
	pumps.Go(func() { io.Copy(out, k.log) }) // until all who have it are gone, or the time is up
	var last string
	pumps.Go(func() { last = b.listen(out) })
	<-k.over
	soon := time.Now().Add(lingers)
	deadlines := errors.Join(k.log.SetReadDeadline(soon), k.said.SetReadDeadline(soon))
	pumps.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case k.err == nil:
		return deadlines
	}
	return b.failed(last)
}

// send tells the hook what the build needs and what is wanted of it.
func (b *hookBuild) send(dir storepath.Dir) error {
	inputs := b.Inputs
	if b.k.Lines { // the derivation, too, and as text
		inputs = append(slices.Clone(inputs), b.Path)
	}
	names := make([]string, len(inputs))
	for i, p := range inputs {
		names[i] = dir.Join(p)
	}
	slices.Sort(names)
	if b.k.Lines {
		var outputs []string
		for _, p := range b.Missing() {
			outputs = append(outputs, dir.Join(p))
		}
		_, err := fmt.Fprintf(b.k.in, "%s\n%s\n", strings.Join(names, " "), strings.Join(outputs, " "))
		return err
	}
	w := workerproto.NewWriter(b.k.in)
	putAll(w, names)
	putAll(w, slices.Sorted(slices.Values(b.Outputs)))
	return w.Flush()
}

// listen takes what the hook says while it builds. It returns the last error, of
// which the build's failure is to tell.
func (b *hookBuild) listen(log io.Writer) (last string) {
	for {
		line, err := b.k.line()
		if err != nil {
			return last
		}
		m, isMessage := parse(line)
		if text, isLog := m.logLine(); isLog {
			fmt.Fprintln(log, text) // which does not fail
			continue
		}
		if isMessage && m.Action == "msg" && m.Level == uint64(workerproto.LevelError) {
			if last != "" {
				b.warn(last)
			}
			last = bare(m.Msg)
			continue
		}
		if text := shown(line); text != "" {
			b.warn(text)
		}
	}
}

func (b *hookBuild) warn(text string) {
	b.r.out.Send(messages.Progress, &messages.GoalWarned{Goal: b.Work.Build, Text: text})
}

// The exit codes of a hook that say how a build ended; others are the hook's own
// failure.
const (
	exitFailed   = 100
	exitTimedOut = 101
)

func (b *hookBuild) failed(last string) error {
	state := b.k.cmd.ProcessState
	e := &ports.FailedError{Status: messages.MiscFailure, Code: state.ExitCode(), Text: last}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = int(ws.Signal())
	}
	switch e.Code {
	case exitFailed:
		e.Status, e.Text = messages.PermanentFailure, ""
	case exitTimedOut:
		e.Status, e.Text = messages.TimedOut, ""
	default:
		if e.Text == "" {
			e.Text = fmt.Sprintf("build hook for '%s' failed: %v", b.r.s.Layout.Dir.Join(b.Path), b.k.err)
		}
	}
	return e
}

// sharedLog is a log for lines and bytes of two goroutines.
type sharedLog struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *sharedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
