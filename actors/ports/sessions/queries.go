package sessions

import (
	"fmt"
	"slices"
	"strings"

	"troupe/messages/workerproto"
	"troupe/storage/nar"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// A client is told only of what survives a crash: what is valid inside this
// process alone is not valid for it.

// info is what is known of a valid path.
func (c *connection) info(p storepath.Path) (validity.Info, bool, error) {
	durable, err := c.durable(p)
	if err != nil || !durable {
		return validity.Info{}, false, err
	}
	return c.p.s.DB.Get(p)
}

// validInfo is info, and an error where there is none.
func (c *connection) validInfo(p storepath.Path) (validity.Info, error) {
	info, ok, err := c.info(p)
	return info, c.valid(p, ok, err)
}

// valid is an error where a path is not.
func (c *connection) valid(p storepath.Path, ok bool, err error) error {
	if err == nil && !ok {
		err = fmt.Errorf("path '%s' is not valid", c.d.Dir.Join(p))
	}
	return err
}

func (c *connection) isValid(q *workerproto.IsValidPath) (workerproto.Reply, error) {
	valid, err := c.durable(q.Path)
	return &workerproto.Bool{Value: valid}, err
}

func (c *connection) pathInfo(q *workerproto.QueryPathInfo) (workerproto.Reply, error) {
	info, ok, err := c.info(q.Path)
	if err != nil || !ok {
		return &workerproto.OptionalPathInfo{}, err
	}
	wire := workerproto.ValidPathInfo(info)
	return &workerproto.OptionalPathInfo{Info: &wire}, nil
}

func (c *connection) validPaths(q *workerproto.QueryValidPaths) (workerproto.Reply, error) {
	if q.Substitute {
		if err := c.substituteFirst(q.Paths); err != nil {
			return nil, err
		}
	}
	valid, err := c.durableOf(q.Paths)
	return &workerproto.Paths{Paths: valid}, err
}

// durableOf are those of some paths that are valid for clients.
func (c *connection) durableOf(paths []storepath.Path) (valid []storepath.Path, err error) {
	for _, p := range paths {
		durable, err := c.p.s.DB.Durable(p)
		if err != nil {
			return nil, err
		}
		if durable {
			valid = append(valid, p)
		}
	}
	return valid, nil
}

func (c *connection) referrers(q *workerproto.QueryReferrers) (workerproto.Reply, error) {
	all, err := c.p.s.DB.Referrers(q.Path)
	if err == nil {
		all, err = c.durableOf(all)
	}
	return &workerproto.Paths{Paths: all}, err
}

func (c *connection) deriver(q *workerproto.QueryDeriver) (workerproto.Reply, error) {
	info, err := c.validInfo(q.Path)
	return &workerproto.OptionalPath{Path: info.Deriver}, err
}

func (c *connection) validDerivers(q *workerproto.QueryValidDerivers) (workerproto.Reply, error) {
	all, err := c.p.s.DB.Derivers(q.Path)
	if err == nil {
		all, err = c.durableOf(all)
	}
	return &workerproto.Paths{Paths: all}, err
}

func (c *connection) allPaths() (workerproto.Reply, error) {
	var all []storepath.Path
	for info, err := range c.p.s.DB.All() {
		if err != nil {
			return nil, err
		}
		all = append(all, info.Path)
	}
	valid, err := c.durableOf(all)
	return &workerproto.Paths{Paths: valid}, err
}

func (c *connection) fromHashPart(q *workerproto.QueryPathFromHashPart) (workerproto.Reply, error) {
	p, ok, err := c.p.s.DB.PathFromHashPart(q.HashPart)
	if err == nil && ok {
		ok, err = c.p.s.DB.Durable(p)
	}
	if !ok {
		p = storepath.Path{}
	}
	return &workerproto.OptionalPath{Path: p}, err
}

// outputs are those of a derivation in the store.
func (c *connection) outputs(drv storepath.Path) (all []workerproto.Output, err error) {
	if _, err := c.validInfo(drv); err != nil {
		return nil, err
	}
	d, err := c.p.s.ReadDerivation(drv)
	if err != nil {
		return nil, err
	}
	known, err := c.p.s.KnownOutputs(d)
	for _, o := range known {
		all = append(all, workerproto.Output(o))
	}
	return all, err
}

func (c *connection) outputMap(q *workerproto.QueryDerivationOutputMap) (workerproto.Reply, error) {
	all, err := c.outputs(q.Path)
	return &workerproto.OutputMap{Outputs: all}, err
}

func (c *connection) outputPaths(q *workerproto.QueryDerivationOutputs) (workerproto.Reply, error) {
	all, err := c.outputs(q.Path)
	reply := &workerproto.Paths{}
	for _, o := range all {
		if !o.Path.IsZero() {
			reply.Paths = append(reply.Paths, o.Path)
		}
	}
	slices.SortFunc(reply.Paths, storepath.Path.Compare)
	return reply, err
}

func (c *connection) outputNames(q *workerproto.QueryDerivationOutputNames) (workerproto.Reply, error) {
	all, err := c.outputs(q.Path)
	reply := &workerproto.Names{}
	for _, o := range all {
		reply.Names = append(reply.Names, o.Name)
	}
	slices.SortFunc(reply.Names, strings.Compare)
	return reply, err
}

// narFromPath only checks: the archive follows the reply.
func (c *connection) narFromPath(q *workerproto.NarFromPath) (workerproto.Reply, error) {
	_, err := c.validInfo(q.Path)
	return &workerproto.Nothing{}, err
}

// dump writes a path's archive. It cannot fail politely: the client takes what
// comes for the archive.
func (c *connection) dump(q *workerproto.NarFromPath) error {
	if err := nar.Dump(c.out, c.p.s.Layout.RealPath(q.Path)); err != nil {
		return err
	}
	return c.out.flush()
}
