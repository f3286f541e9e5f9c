package caches

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"troupe/messages"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

func sortedPaths(paths []storepath.Path) []storepath.Path {
	slices.SortFunc(paths, storepath.Path.Compare)
	return slices.Compact(paths)
}

// runProgram lets a program make a path, and takes what it made. What it left of one
// that it did not make is removed.
func (p *Caches) runProgram(ctx context.Context, goal messages.Address, f *Found, s *programSource, l messages.Limits) error {
	path := p.s.Layout.RealPath(f.Info.Path)
	if _, err := localstore.Remove(path); err != nil { // a leftover that is not valid
		return err
	}
	err := p.watch(ctx, goal, l, exec.Command(s.file, "--substitute", path))
	if err == nil {
		err = p.takeFromProgram(ctx, f, path)
	}
	if err != nil {
		_, rerr := localstore.Remove(path)
		return errors.Join(fmt.Errorf("fetch '%s' by '%s': %w", path, s.file, err), rerr)
	}
	return nil
}

// takeFromProgram makes what lies in the store valid. It is moved to where nobody else
// can change it first.
func (p *Caches) takeFromProgram(ctx context.Context, f *Found, path string) (err error) {
	stage, err := p.s.Layout.Stage("fetch-")
	if err != nil {
		return err
	}
	defer func() {
		_, rerr := localstore.Remove(stage)
		err = errors.Join(err, rerr)
	}()
	place := filepath.Join(stage, "object")
	if err := localstore.Move(path, place); errors.Is(err, os.ErrNotExist) {
		return errors.New("it did not make the path")
	} else if err != nil {
		return err
	}
	return p.adder(f.policy).Take(ctx, place, validity.Info{Path: f.Info.Path, References: f.Info.References, Deriver: f.Info.Deriver})
}

// watch runs a program to its end, in a session of its own and without input. It is
// killed, with what it has started, when ctx ends and when a limit is passed. Its
// lines are told to observers.
func (p *Caches) watch(ctx context.Context, goal messages.Address, l messages.Limits, cmd *exec.Cmd) error {
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return errors.Join(err, r.Close())
	}
	defer context.AfterFunc(ctx, func() {
		unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		r.Close() // who holds it open still is not waited for
	})()
	defer limited(l.Total, kill, "timed out after %v").Stop()
	silence := limited(l.Silence, kill, "timed out after %v of silence")
	last := p.hear(goal, r, func() {
		if l.Silence > 0 {
			silence.Reset(l.Silence)
		}
	})
	silence.Stop()
	err = cmd.Wait()
	r.Close() // if that is not done
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil && last != "" {
		return fmt.Errorf("%w: %s", err, last)
	}
	return err
}

// limited kills after a while; 0 is never.
func limited(after time.Duration, kill context.CancelCauseFunc, why string) *time.Timer {
	t := time.AfterFunc(max(after, 1), func() {
		if after > 0 {
			kill(fmt.Errorf(why, after))
		}
	})
	return t
}

// hear passes lines on until nobody can write any more, and returns the last.
func (p *Caches) hear(goal messages.Address, r *os.File, heard func()) (last string) {
	in := bufio.NewReaderSize(r, maxAnswer)
	for {
		line, _, err := in.ReadLine() // what is longer comes in pieces
		if text := strings.TrimSpace(string(line)); text != "" {
			last = text
			p.out.Send(messages.Progress, &messages.GoalLine{Goal: goal, Line: text})
		}
		if err != nil {
			return last
		}
		heard()
	}
}
