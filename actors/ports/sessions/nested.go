package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"troupe/actors/ports"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// A builder that may ask for builds (Nix calls it recursive) is a client that
// nobody trusts and that sees little of the store: what its [ports.Nest] allows.
// What it asks for is decided as for any client, on the terms of its own build.
// The words are Nix's.

// ServeNest implements [ports.ServeNest].
func (p *Sessions) ServeNest(ctx context.Context, conn net.Conn, n *ports.Nest) {
	c := p.open(ctx, conn, Peer{User: string(n.Goal)}, n)
	defer context.AfterFunc(ctx, func() { c.close(true) })()
	p.serve(c)
}

// performNested does what a builder asks for.
func (c *connection) performNested(q workerproto.Request, b *body) (workerproto.Reply, error) {
	switch q := q.(type) {
	case *workerproto.SetOptions:
		return &workerproto.Nothing{}, nil // its build has been given its settings
	case *workerproto.AddToStore:
		return c.nestedAdd(q, b)
	case *workerproto.AddTextToStore:
		return c.nestedText(q)
	case *workerproto.AddToStoreNar:
		return c.nestedNar(q, b)
	case *workerproto.AddMultipleToStore:
		return c.nestedMany(q, b)
	case *workerproto.BuildPaths:
		return c.nestedBuild(q)
	case *workerproto.BuildPathsWithResults:
		return c.nestedResults(q)
	case *workerproto.EnsurePath:
		return &workerproto.One{}, c.known("substitute", q.Path)
	case *workerproto.QueryMissing:
		return c.nestedMissing(q)
	case *workerproto.AddTempRoot, *workerproto.AddIndirectRoot, *workerproto.SyncWithGC, *workerproto.OptimiseStore:
		return &workerproto.One{}, nil // all that it sees stays as long as it does
	case *workerproto.FindRoots:
		return &workerproto.Roots{}, nil
	case *workerproto.CollectGarbage:
		return &workerproto.GCResult{}, nil
	case *workerproto.VerifyStore:
		return &workerproto.Bool{}, nil
	}
	return c.nestedQuery(q)
}

// nestedQuery answers of what the builder may know.
func (c *connection) nestedQuery(q workerproto.Request) (workerproto.Reply, error) {
	switch q := q.(type) {
	case *workerproto.IsValidPath:
		return &workerproto.Bool{Value: c.nest.Allows(q.Path)}, nil
	case *workerproto.QueryPathInfo:
		return c.nestedInfo(q)
	case *workerproto.QueryValidPaths:
		return &workerproto.Paths{Paths: c.allowed(q.Paths)}, nil
	case *workerproto.QueryReferrers, *workerproto.QueryValidDerivers:
		return &workerproto.Paths{}, nil
	case *workerproto.QueryDeriver:
		if !c.nest.Allows(q.Path) {
			return nil, fmt.Errorf("path '%s' is not valid", c.d.Dir.Join(q.Path))
		}
		return &workerproto.OptionalPath{}, nil
	case *workerproto.QueryAllValidPaths:
		return &workerproto.Paths{Paths: c.nest.All()}, nil
	case *workerproto.QueryPathFromHashPart:
		return c.nestedHashPart(q)
	case *workerproto.QueryDerivationOutputMap:
		return nested(c, q.Path, c.outputMap, q)
	case *workerproto.QueryDerivationOutputs:
		return nested(c, q.Path, c.outputPaths, q)
	case *workerproto.QueryDerivationOutputNames:
		return nested(c, q.Path, c.outputNames, q)
	case *workerproto.NarFromPath:
		return &workerproto.Nothing{}, c.known("dump", q.Path)
	case *workerproto.QueryRealisation:
		return c.nestedRealisation(q)
	case *workerproto.QuerySubstitutablePaths:
		return &workerproto.Paths{}, nil
	case *workerproto.QuerySubstitutablePathInfo:
		return &workerproto.OptionalSubstitutable{}, nil
	case *workerproto.QuerySubstitutablePathInfos:
		return &workerproto.Substitutables{}, nil
	}
	return nil, fmt.Errorf("operation '%v' is not supported in recursive Nix", q.Op())
}

// nested asks for a derivation's outputs, if the builder may know of it.
func nested[Q any](c *connection, drv storepath.Path, ask func(Q) (workerproto.Reply, error), q Q) (workerproto.Reply, error) {
	if err := c.known("query output map for", drv); err != nil {
		return nil, err
	}
	return ask(q)
}

// known refuses to do something with what the builder does not see.
func (c *connection) known(what string, p storepath.Path) error {
	if c.nest.Allows(p) {
		return nil
	}
	return fmt.Errorf("cannot %s unknown path '%s' in recursive Nix", what, c.d.Dir.Join(p))
}

func (c *connection) allowed(paths []storepath.Path) []storepath.Path {
	return slices.DeleteFunc(slices.Clone(paths), func(p storepath.Path) bool { return !c.nest.Allows(p) })
}

// nestedInfo leaves out what does not follow from a path's contents.
func (c *connection) nestedInfo(q *workerproto.QueryPathInfo) (workerproto.Reply, error) {
	reply := &workerproto.OptionalPathInfo{}
	if !c.nest.Allows(q.Path) {
		return reply, nil
	}
	info, ok, err := c.p.s.DB.Get(q.Path)
	if err != nil || !ok {
		return reply, err
	}
	info.Deriver, info.RegistrationTime, info.Ultimate, info.Signatures = storepath.Path{}, 0, false, nil
	wire := workerproto.ValidPathInfo(info)
	reply.Info = &wire
	return reply, nil
}

func (c *connection) nestedHashPart(q *workerproto.QueryPathFromHashPart) (workerproto.Reply, error) {
	for _, p := range c.nest.All() {
		if p.HashPart() == q.HashPart {
			return &workerproto.OptionalPath{Path: p}, nil
		}
	}
	return &workerproto.OptionalPath{}, nil
}

// nestedRealisation tells where an output lies that the builder sees.
func (c *connection) nestedRealisation(q *workerproto.QueryRealisation) (workerproto.Reply, error) {
	if !q.ID.Drv.IsZero() && !c.nest.Allows(q.ID.Drv) {
		return &workerproto.OptionalRealisation{}, nil
	}
	reply, err := c.queryRealisation(q)
	if r, ok := reply.(*workerproto.OptionalRealisation); ok && r.Realisation != nil && !c.nest.Allows(r.Realisation.OutPath) {
		r.Realisation = nil
	}
	return reply, err
}

// refer refuses what refers to what the builder does not see: by building with it
// it would.
func (c *connection) refer(refs []storepath.Path, self storepath.Path) error {
	for _, r := range refs {
		if r != self {
			if err := c.known("refer to", r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *connection) nestedAdd(q *workerproto.AddToStore, b io.Reader) (workerproto.Reply, error) {
	if err := c.refer(q.References, storepath.Path{}); err != nil {
		return nil, err
	}
	reply, err := c.addToStore(q, b)
	if err != nil {
		return nil, err
	}
	added := reply.(*workerproto.AddedPath)
	if err := c.nest.Add(added.Info.Path); err != nil {
		return nil, err
	}
	added.Info.Deriver, added.Info.RegistrationTime, added.Info.Ultimate, added.Info.Signatures = storepath.Path{}, 0, false, nil
	return added, nil
}

func (c *connection) nestedText(q *workerproto.AddTextToStore) (workerproto.Reply, error) {
	if err := c.refer(q.References, storepath.Path{}); err != nil {
		return nil, err
	}
	reply, err := c.addText(q)
	if err != nil {
		return nil, err
	}
	return reply, c.nest.Add(reply.(*workerproto.Path).Path)
}

func (c *connection) nestedNar(q *workerproto.AddToStoreNar, b io.Reader) (workerproto.Reply, error) {
	if err := c.refer(q.Info.References, q.Info.Path); err != nil {
		return nil, err
	}
	reply, err := c.addNar(q, b)
	if err != nil {
		return nil, err
	}
	return reply, c.nest.Add(q.Info.Path)
}

// nestedMany adds what comes in one stream; each may refer to those before it.
func (c *connection) nestedMany(q *workerproto.AddMultipleToStore, b io.Reader) (workerproto.Reply, error) {
	var came []storepath.Path
	err := c.addEach(q, b, func(info validity.Info) error {
		known := slices.DeleteFunc(slices.Clone(info.References), func(r storepath.Path) bool { return slices.Contains(came, r) })
		came = append(came, info.Path)
		return c.refer(known, info.Path)
	})
	if err != nil {
		return nil, err
	}
	return &workerproto.Nothing{}, c.nest.Add(came...)
}

// mayNest refuses what a builder does not get built.
func (c *connection) mayNest(paths []workerproto.DerivedPath, mode workerproto.BuildMode) error {
	if mode != workerproto.BuildNormal {
		return errors.New("unsupported build mode")
	}
	for _, p := range paths {
		if !c.nest.Allows(p.Path) {
			return fmt.Errorf("cannot build '%s' in recursive Nix because path is unknown", p.Format(c.d.Dir))
		}
	}
	return nil
}

func (c *connection) nestedBuild(q *workerproto.BuildPaths) (workerproto.Reply, error) {
	if err := c.mayNest(q.Paths, q.Mode); err != nil {
		return nil, err
	}
	return c.buildPaths(q)
}

func (c *connection) nestedResults(q *workerproto.BuildPathsWithResults) (workerproto.Reply, error) {
	if err := c.mayNest(q.Paths, q.Mode); err != nil {
		return nil, err
	}
	return c.buildPathsWithResults(q)
}

// see lets the builder see what was built for it, with all that it refers to.
func (c *connection) see(results []messages.Result) error {
	var built []storepath.Path
	for _, r := range results {
		if r.Status.OK() {
			for _, o := range r.Outputs {
				built = append(built, o.Path)
			}
		}
	}
	if len(built) == 0 {
		return nil
	}
	if err := c.nest.Keep(built...); err != nil {
		return err
	}
	var closure []storepath.Path
	for p, err := range c.p.s.DB.Closure(built...) {
		if err != nil {
			return err
		}
		closure = append(closure, p)
	}
	return c.nest.Add(closure...)
}

// nestedMissing looks only at what the builder sees. All else is unknown.
func (c *connection) nestedMissing(q *workerproto.QueryMissing) (workerproto.Reply, error) {
	var unknown []storepath.Path
	known := workerproto.QueryMissing{}
	for _, p := range q.Paths {
		if c.nest.Allows(p.Path) {
			known.Paths = append(known.Paths, p)
		} else {
			unknown = append(unknown, p.Path)
		}
	}
	reply, err := c.missing(&known)
	if m, ok := reply.(*workerproto.Missing); ok {
		m.Unknown = append(m.Unknown, unknown...)
		slices.SortFunc(m.Unknown, storepath.Path.Compare)
		m.Unknown = slices.Compact(m.Unknown)
	}
	return reply, err
}
