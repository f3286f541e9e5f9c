package sessions

import (
	"context"
	"errors"
	"fmt"

	"troupe/messages/workerproto"
	"troupe/storage/gc"
	"troupe/storage/storepath"
)

// keep keeps paths for as long as the client is there.
func (c *connection) keep(paths ...storepath.Path) error {
	if c.nest != nil {
		return c.nest.Keep(paths...)
	}
	return c.p.s.Roots.Add(string(c.address), paths...)
}

func (c *connection) tempRoot(q *workerproto.AddTempRoot) (workerproto.Reply, error) {
	return &workerproto.One{}, c.keep(q.Path)
}

func (c *connection) indirectRoot(q *workerproto.AddIndirectRoot) (workerproto.Reply, error) {
	return &workerproto.One{}, gc.AddIndirectRoot(c.p.s.Layout, q.Name)
}

func (c *connection) permRoot(q *workerproto.AddPermRoot) (workerproto.Reply, error) {
	if !c.trusted {
		return nil, errors.New("you are not privileged to create perm roots\n\n" +
			"hint: you can just do this client-side without special privileges, and probably want to do that instead")
	}
	if err := c.keep(q.Path); err != nil {
		return nil, err
	}
	link, err := gc.AddPermRoot(c.p.s.Layout, q.Path, q.Name)
	return &workerproto.FileName{Name: link}, err
}

func (c *connection) findRoots() (reply workerproto.Reply, err error) {
	c.watchful(func(ctx context.Context) {
		var all []gc.Root
		all, err = c.p.s.Collector.FindRoots(ctx, c.say)
		roots := &workerproto.Roots{}
		for _, r := range all {
			if r.Private && !c.trusted {
				r.Link = gc.Censored
			}
			roots.Roots = append(roots.Roots, workerproto.Root{Link: r.Link, Path: r.Path})
		}
		reply = roots
	})
	return reply, err
}

// say passes on what a collection says.
func (c *connection) say(line string) { c.out.line(workerproto.LevelInfo, line) }

func (c *connection) collect(q *workerproto.CollectGarbage) (reply workerproto.Reply, err error) {
	if q.IgnoreLiveness {
		return nil, errors.New("you are not allowed to ignore liveness")
	}
	s := c.p.settings.Load()
	o := gc.Options{Action: gc.Action(q.Action), Paths: q.Paths, MaxFreed: q.MaxFreed,
		KeepDerivations: s.KeepDerivations, KeepOutputs: s.KeepOutputs, Talk: c.say, Together: c.out.together}
	c.watchful(func(ctx context.Context) {
		var r gc.Result
		r, err = c.p.s.Collector.Collect(ctx, o)
		reply = &workerproto.GCResult{Paths: r.Paths, BytesFreed: r.Freed}
	})
	return reply, err
}

// refused is what only trusted clients may do.
func (c *connection) refused(what string) error {
	if c.trusted {
		return nil
	}
	return fmt.Errorf("you are not privileged to %s", what)
}
