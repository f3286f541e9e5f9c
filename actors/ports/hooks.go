package ports

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"troupe/messages"
	"troupe/storage/addition"
	"troupe/storage/storepath"
)

// Hooks are programs of the administrator's that are told of builds.
type Hooks struct {
	PostBuild string // is run after each build; "" for none
	Diff      string // is run where a check finds a difference; "" for none
	// Remote is the store URL by which programs of Nix that a hook runs reach this
	// process; "" where they do not.
	Remote string
	// Config are the settings of the build, for programs of Nix that a hook runs.
	Config string
}

// hook is a program that runs for a build.
type hook struct {
	program  string
	args     []string
	env      []string // beside the service's own
	uid, gid int      // -1 for the service's own
	line     func(string)
}

// run waits for the program's end, or ends it with ctx.
func (h hook) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, h.program, h.args...)
	cmd.Env, cmd.Dir = append(os.Environ(), h.env...), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if h.uid >= 0 && h.uid != os.Geteuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(h.uid), Gid: uint32(h.gid)}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = hookDelay
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	told := make(chan struct{})
	go func() {
		defer close(told)
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine<<4)
		for lines.Scan() {
			h.line(lines.Text())
		}
		io.Copy(io.Discard, r) // after a line that is too long
	}()
	err := cmd.Run()
	w.Close()
	<-told
	return err
}

// hookDelay is how long what a hook has left behind may keep its output open.
const hookDelay = time.Second

// afterBuild runs the post-build hook, when what was built is on disk and others
// can see it.
func (p *Builds) afterBuild(b *build, outputs []messages.Output) error {
	h := b.policy.Hooks
	if h.PostBuild == "" {
		return nil
	}
	dir := p.s.Layout.Dir
	paths, names := make([]storepath.Path, len(outputs)), make([]string, len(outputs))
	for i, o := range outputs {
		paths[i], names[i] = o.Path, dir.Join(o.Path)
	}
	adder := addition.Adder{Layout: p.s.Layout, DB: p.s.DB}
	told := paths
	if p.s.DB.Provisional(b.path) { // it was resolved just now
		told = append(told, b.path)
	}
	if err := adder.Commit(b.hookContext(), told...); err != nil {
		return err
	}
	p.out.Send(messages.Progress, &messages.HookStarted{Goal: b.id, Drv: b.path, Hook: h.PostBuild})
	defer p.out.Send(messages.Progress, &messages.HookEnded{Goal: b.id})
	env := []string{"DRV_PATH=" + dir.Join(b.path), "OUT_PATHS=" + strings.Join(names, " "), "NIX_CONFIG=" + h.Config}
	if h.Remote != "" {
		env = append(env, "NIX_REMOTE="+h.Remote)
	}
	err := hook{program: h.PostBuild, uid: -1, env: env,
		line: func(l string) { p.out.Send(messages.Progress, &messages.HookLine{Goal: b.id, Line: l}) },
	}.run(b.hookContext())
	if err != nil {
		return fmt.Errorf("post-build-hook '%s' for '%s': %w", h.PostBuild, dir.Join(b.path), err)
	}
	return nil
}

// showDifference runs the diff hook, as the user who built. What it says is for
// people, and it changes nothing.
func (p *Builds) showDifference(b *build, valid, made string) {
	h := b.policy.Hooks
	if h.Diff == "" {
		return
	}
	var said []string
	err := hook{program: h.Diff, args: []string{valid, made, p.s.Layout.Dir.Join(b.path), b.hostBuild()}, uid: b.user.UID, gid: b.user.GID,
		line: func(l string) { said = append(said, l) }}.run(b.hookContext())
	if err != nil {
		said = append(said, "diff hook execution failed: "+err.Error())
	}
	if len(said) > 0 {
		p.out.Send(messages.Progress, &messages.GoalWarned{Goal: b.id, Text: strings.Join(said, "\n")})
	}
}

// hookContext ends when the build is given up.
func (b *build) hookContext() context.Context {
	b.hooks.mu.Lock()
	defer b.hooks.mu.Unlock()
	if b.hooks.ctx == nil {
		b.hooks.ctx, b.hooks.cancel = context.WithCancelCause(context.Background())
		if b.hooks.over {
			b.hooks.cancel(errOver)
		}
	}
	return b.hooks.ctx
}

// endHooks ends those that run, and lets no more begin.
func (b *build) endHooks() {
	b.hooks.mu.Lock()
	defer b.hooks.mu.Unlock()
	b.hooks.over = true
	if b.hooks.cancel != nil {
		b.hooks.cancel(errOver)
	}
}
