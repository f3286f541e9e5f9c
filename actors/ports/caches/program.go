package caches

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	err := p.watch(ctx, goal, l, s.file, "--substitute", path)
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

// lingers is how long what a program has left behind may keep its output open.
const lingers = time.Second

// watch runs a program to its end, as a builder is run. It is killed, with what it has
// started, when ctx ends and when a limit is passed. Its lines are told to observers.
func (p *Caches) watch(ctx context.Context, goal messages.Address, l messages.Limits, file string, args ...string) error {
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	proc, err := p.s.StartTool(file, args...)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() {
		if err := proc.Kill(); err != nil {
			p.s.Log.Warn().Err(err).Msg("kill substituter")
		}
		proc.Output.Close() // who holds it open still is not waited for
	})()
	defer limited(l.Total, kill, "timed out after %v").Stop()
	silence, said := limited(l.Silence, kill, "timed out after %v of silence"), int64(0)
	defer silence.Stop()
	over := make(chan struct{})
	go func() {
		defer close(over)
		proc.Wait()
		unix.Kill(-proc.PID, unix.SIGKILL) // what it left of its group; mostly nothing
		proc.Output.SetReadDeadline(time.Now().Add(lingers))
	}()
	last := p.hear(goal, proc.Output, func(n int) {
		if said += int64(n); l.LogBytes > 0 && said > l.LogBytes {
			kill(fmt.Errorf("it wrote more than the limit of %d bytes", l.LogBytes))
		}
		if l.Silence > 0 {
			silence.Reset(l.Silence)
		}
	})
	<-over
	proc.Output.Close() // if that is not done
	exit := proc.Wait()
	switch {
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case exit.Signal != 0:
		return fmt.Errorf("it was ended by signal %d", exit.Signal)
	case exit.Code != 0 && last != "":
		return fmt.Errorf("exit status %d: %s", exit.Code, last)
	case exit.Code != 0:
		return fmt.Errorf("exit status %d", exit.Code)
	}
	return nil
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
func (p *Caches) hear(goal messages.Address, r io.Reader, heard func(bytes int)) (last string) {
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
		heard(len(line) + 1)
	}
}
