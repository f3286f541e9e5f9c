// Package moving takes a store over from Nix, and gives it back. Either way is a
// list of steps, each of which can be done twice; after each it is written down
// that it is done. So a move that is interrupted anywhere, by a crash too, goes on
// when it is asked for again, and loses nothing.
//
// The store itself, its roots and profiles stay where they are. While we have it,
// Nix's database lies there as it was, under a schema that no Nix opens.
package moving

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"troupe/storage/localstore"
)

// Installation is a store and what runs it.
type Installation struct {
	Layout   localstore.Layout
	Database string   // the directory of our database
	Command  []string // starts the daemon; an absolute path first
	Socket   string   // where clients look for the daemon
	UnitDir  string   // where systemd reads the units of this machine
	// Systemctl performs a command of systemctl and returns what it printed; nil
	// where systemd does not run.
	Systemctl func(ctx context.Context, args ...string) (string, error)
	// Listening reports whether somebody listens at the socket.
	Listening func() bool
	// Say tells the person one line.
	Say func(string)
	// Pause is called before and after each step, and may end the move there; nil
	// never does.
	Pause func(at string) error
}

// step is one step of a move. To do it twice is to do it once.
type step struct {
	name string // in the journal
	what string // for the person
	do   func(context.Context, *progress) error
}

// ErrNothing is that the store is where it is wanted already.
var ErrNothing = errors.New("there is nothing to do")

// Plan is what a move will do, step by step.
type Plan struct {
	i     *Installation
	start progress
	steps []step // that are not done yet
	final func(*progress)
}

// Steps say what will be done.
func (p *Plan) Steps() []string {
	lines := make([]string, len(p.steps))
	for n, s := range p.steps {
		lines[n] = s.what
	}
	return lines
}

// Continues reports whether the move was begun before.
func (p *Plan) Continues() bool { return len(p.start.Done) > 0 }

// plan is what is left of a list of steps.
func (i *Installation) plan(p progress, steps []step) *Plan {
	left := slices.DeleteFunc(steps, func(s step) bool { return slices.Contains(p.Done, s.name) })
	return &Plan{i: i, start: p, steps: left}
}

// Run performs the steps.
func (p *Plan) Run(ctx context.Context) error {
	now := p.start
	if err := p.i.write(now); err != nil {
		return err
	}
	for n, s := range p.steps {
		p.i.Say(fmt.Sprintf("[%d/%d] %s", n+1, len(p.steps), s.what))
		if err := p.i.pause("before " + s.name); err != nil {
			return err
		}
		if err := s.do(ctx, &now); err != nil {
			return err
		}
		if err := p.i.pause("after " + s.name); err != nil {
			return err
		}
		now.Done = append(slices.Clone(now.Done), s.name)
		if n == len(p.steps)-1 {
			p.final(&now)
		}
		if now.Going == withNix {
			return p.i.forget()
		}
		if err := p.i.write(now); err != nil {
			return err
		}
	}
	return nil
}

func (i *Installation) pause(at string) error {
	if i.Pause == nil {
		return nil
	}
	return i.Pause(at)
}
