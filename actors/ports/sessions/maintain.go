package sessions

import (
	"context"
	"errors"
	"io"

	"troupe/messages/workerproto"
	"troupe/storage/buildlog"
	"troupe/storage/localstore"
	"troupe/storage/upkeep"
)

// maintain performs what keeps a store in order.
func (c *connection) maintain(q workerproto.Request, b *body) (workerproto.Reply, error) {
	switch q := q.(type) {
	case *workerproto.AddSignatures:
		return &workerproto.One{}, c.p.s.DB.AddSignatures(q.Path, q.Signatures...)
	case *workerproto.AddBuildLog:
		return c.addBuildLog(q, b)
	case *workerproto.VerifyStore:
		return c.verify(q)
	case *workerproto.OptimiseStore:
		return c.optimise()
	}
	return nil, nil
}

func (c *connection) addBuildLog(q *workerproto.AddBuildLog, log io.Reader) (workerproto.Reply, error) {
	if err := c.refused("add logs"); err != nil {
		return nil, err
	}
	return &workerproto.One{}, buildlog.Add(c.p.s.Layout.LogDir, q.Path, log)
}

// verify looks at every valid path.
func (c *connection) verify(q *workerproto.VerifyStore) (reply workerproto.Reply, err error) {
	if q.Repair && !c.trusted {
		return nil, errors.New("you are not privileged to repair paths")
	}
	id := c.out.start(workerproto.StartActivity{Type: workerproto.ActVerifyPaths})
	defer c.out.stop(id)
	v := upkeep.Verification{Layout: c.p.s.Layout, DB: c.p.s.DB, Contents: q.CheckContents, Forget: true,
		Say: func(level int, text string) { c.sayAt(workerproto.Level(level), text) },
		At: func(f upkeep.Found) {
			c.out.result(id, workerproto.ResProgress, workerproto.Number(f.Checked), workerproto.Number(f.Expected), workerproto.Number(0), workerproto.Number(f.Wrong))
		}}
	if q.Repair {
		v.Repair = c.repair
	}
	c.watchful(func(ctx context.Context) {
		var found upkeep.Found
		found, err = v.Run(ctx)
		reply = &workerproto.Bool{Value: found.Wrong > found.Mended}
	})
	return reply, err
}

// sayAt passes on what is said at a level; errors are marked.
func (c *connection) sayAt(level workerproto.Level, text string) {
	if level == workerproto.LevelError {
		c.out.fail(text)
		return
	}
	c.out.line(level, text)
}

func (c *connection) optimise() (reply workerproto.Reply, err error) {
	id := c.out.start(workerproto.StartActivity{Type: workerproto.ActOptimiseStore})
	defer c.out.stop(id)
	c.watchful(func(ctx context.Context) {
		var saved localstore.Saved
		saved, err = upkeep.Optimise(ctx, c.p.s.Layout, c.p.s.DB, c.out.warn, nil)
		c.say(saved.String())
	})
	return &workerproto.One{}, err
}
