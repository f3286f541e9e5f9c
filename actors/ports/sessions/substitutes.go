package sessions

import (
	"context"

	"troupe/actors/ports"
	"troupe/actors/ports/caches"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// What substituters have is asked for a client without a goal: nothing is decided.

// look asks the client's substituters for a path.
func (c *connection) look(ctx context.Context, t messages.Terms, p storepath.Path, ca string) (*caches.Found, error) {
	if t.NoSubstitutes {
		return nil, nil
	}
	return c.p.subs.Find(ctx, t.Settings, p, ca)
}

// eyes are the client's.
func (c *connection) eyes(ctx context.Context) ports.Eyes {
	return c.p.subs.Eyes(ctx, c.terms(), c.p.s.DB.Durable)
}

// missing is what building would take.
func (c *connection) missing(q *workerproto.QueryMissing) (reply workerproto.Reply, err error) {
	targets := make([]messages.Target, len(q.Paths))
	for i, p := range q.Paths {
		targets[i] = messages.Target{Path: p.Path, Outputs: p.Outputs}
		if len(p.Through) > 0 { // what it leads to is not known before
			targets[i].Outputs = p.Through[:1]
		}
	}
	c.watchful(func(ctx context.Context) {
		var m ports.Missing
		m, err = c.p.s.Missing(targets, c.eyes(ctx))
		reply = &workerproto.Missing{WillBuild: m.Build, WillSubstitute: m.Substitute, Unknown: m.Unknown,
			DownloadSize: m.Download, NarSize: m.NarSize}
	})
	return reply, err
}

// substituteFirst fetches what is not valid and can be had. What cannot is not
// valid afterwards either, which is all that the client wants to know.
func (c *connection) substituteFirst(paths []storepath.Path) error {
	var targets []messages.Target
	for _, p := range paths {
		if durable, err := c.p.s.DB.Durable(p); err != nil {
			return err
		} else if !durable && !p.IsDerivation() {
			targets = append(targets, messages.Target{Path: p})
		}
	}
	if len(targets) == 0 || c.terms().NoSubstitutes {
		return nil
	}
	var offered []messages.Target
	var err error
	c.watchful(func(ctx context.Context) {
		var m ports.Missing
		m, err = c.p.s.Missing(targets, c.eyes(ctx))
		for _, p := range m.Substitute {
			offered = append(offered, messages.Target{Path: p})
		}
	})
	if err != nil || len(offered) == 0 {
		return err
	}
	results, err := c.realise(offered)
	if err == nil {
		if failure := c.failure(offered, results); failure != nil {
			c.out.warn(failure.Error())
		}
	}
	return err
}

func (c *connection) substitutablePaths(q *workerproto.QuerySubstitutablePaths) (reply workerproto.Reply, err error) {
	t := c.terms()
	if t.NoSubstitutes {
		return &workerproto.Paths{}, nil
	}
	c.watchful(func(ctx context.Context) {
		var offered []storepath.Path
		offered, err = c.p.subs.Offered(ctx, t.Settings, q.Paths)
		reply = &workerproto.Paths{Paths: offered}
	})
	return reply, err
}

func (c *connection) substitutableInfo(q *workerproto.QuerySubstitutablePathInfo) (workerproto.Reply, error) {
	infos, err := c.substitutables([]workerproto.AddressedPath{{Path: q.Path}})
	reply := &workerproto.OptionalSubstitutable{}
	if len(infos) > 0 {
		reply.Info = &infos[0]
	}
	return reply, err
}

func (c *connection) substitutableInfos(q *workerproto.QuerySubstitutablePathInfos) (workerproto.Reply, error) {
	infos, err := c.substitutables(q.Paths)
	return &workerproto.Substitutables{Infos: infos}, err
}

func (c *connection) substitutables(paths []workerproto.AddressedPath) (infos []workerproto.Substitutable, err error) {
	t, found := c.terms(), make([]*caches.Found, len(paths))
	c.watchful(func(ctx context.Context) {
		err = ports.ForEach(len(paths), func(i int) (err error) {
			found[i], err = c.look(ctx, t, paths[i].Path, paths[i].CA)
			return err
		})
	})
	for _, f := range found {
		if f != nil {
			infos = append(infos, workerproto.Substitutable{Path: f.Info.Path, Deriver: f.Info.Deriver, References: f.Info.References,
				DownloadSize: f.Download, NarSize: f.Info.NarSize})
		}
	}
	return infos, err
}
