package sessions

import (
	"fmt"

	"troupe/messages/workerproto"
)

// perform does what a client asks for. The error is for the client; the
// connection goes on.
func (c *connection) perform(q workerproto.Request, b *body) (workerproto.Reply, error) {
	if !mayOwe(q) {
		if err := c.settle(); err != nil {
			return nil, err
		}
	}
	if c.nest != nil {
		return c.performNested(q, b)
	}
	switch q := q.(type) {
	case *workerproto.SetOptions:
		return c.setOptions(q)
	case *workerproto.AddToStore:
		return c.addToStore(q, b)
	case *workerproto.AddTextToStore:
		return c.addText(q)
	case *workerproto.AddToStoreNar:
		return c.addNar(q, b)
	case *workerproto.AddMultipleToStore:
		return c.addMany(q, b)
	case *workerproto.BuildPaths:
		return c.buildPaths(q)
	case *workerproto.BuildPathsWithResults:
		return c.buildPathsWithResults(q)
	case *workerproto.BuildDerivation:
		return c.buildDerivation(q)
	case *workerproto.EnsurePath:
		return c.ensurePath(q)
	case *workerproto.QueryMissing:
		return c.missing(q)
	}
	if reply, err := c.performOnRoots(q); reply != nil || err != nil {
		return reply, err
	}
	if reply, err := c.maintain(q, b); reply != nil || err != nil {
		return reply, err
	}
	return c.query(q)
}

func (c *connection) performOnRoots(q workerproto.Request) (workerproto.Reply, error) {
	switch q := q.(type) {
	case *workerproto.AddTempRoot:
		return c.tempRoot(q)
	case *workerproto.AddIndirectRoot:
		return c.indirectRoot(q)
	case *workerproto.AddPermRoot:
		return c.permRoot(q)
	case *workerproto.FindRoots:
		return c.findRoots()
	case *workerproto.SyncWithGC:
		return &workerproto.One{}, nil
	case *workerproto.CollectGarbage:
		return c.collect(q)
	}
	return nil, nil
}

// query answers from the database.
func (c *connection) query(q workerproto.Request) (workerproto.Reply, error) {
	switch q := q.(type) {
	case *workerproto.IsValidPath:
		return c.isValid(q)
	case *workerproto.QueryPathInfo:
		return c.pathInfo(q)
	case *workerproto.QueryValidPaths:
		return c.validPaths(q)
	case *workerproto.QueryReferrers:
		return c.referrers(q)
	case *workerproto.QueryValidDerivers:
		return c.validDerivers(q)
	case *workerproto.QueryDeriver:
		return c.deriver(q)
	case *workerproto.QueryAllValidPaths:
		return c.allPaths()
	case *workerproto.QueryPathFromHashPart:
		return c.fromHashPart(q)
	case *workerproto.QueryDerivationOutputMap:
		return c.outputMap(q)
	case *workerproto.QueryDerivationOutputs:
		return c.outputPaths(q)
	case *workerproto.QueryDerivationOutputNames:
		return c.outputNames(q)
	case *workerproto.NarFromPath:
		return c.narFromPath(q)
	}
	return c.queryElsewhere(q)
}

// queryElsewhere answers what is not known here: what substituters have, and
// where floating outputs lie.
func (c *connection) queryElsewhere(q workerproto.Request) (workerproto.Reply, error) {
	switch q := q.(type) {
	case *workerproto.QuerySubstitutablePaths:
		return c.substitutablePaths(q)
	case *workerproto.QuerySubstitutablePathInfo:
		return c.substitutableInfo(q)
	case *workerproto.QuerySubstitutablePathInfos:
		return c.substitutableInfos(q)
	case *workerproto.QueryRealisation:
		return c.queryRealisation(q)
	case *workerproto.RegisterDrvOutput:
		return c.registerRealisation(q)
	default:
		return nil, fmt.Errorf("%v is not performed here", q.Op())
	}
}
