package gc

import (
	"errors"

	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// amongst looks at some paths that are to be deleted, and who needs them.
type amongst struct {
	c      *Collector
	o      Options
	view   *validity.View
	graph  *validity.Graph // of those that are valid
	needed []int32         // by a path that is none of them
}

// among has those of the paths to be deleted that are valid, and marks roots among them,
// what others need, and what these need.
func (c *Collector) among(o Options, roots map[storepath.Path]struct{}) (*liveness, error) {
	view, err := c.DB.View()
	if err != nil {
		return nil, err
	}
	hold(roots, view, o.KeepDerivations)
	a := &amongst{c: c, o: o, view: view, graph: &validity.Graph{}}
	err = a.nodes()
	for at := range a.graph.Nodes {
		if err == nil {
			err = a.needers(int32(at))
		}
	}
	if err := errors.Join(err, view.Close()); err != nil {
		return nil, err
	}
	l := newLiveness(a.graph, o.KeepDerivations, o.KeepOutputs)
	for _, at := range a.needed {
		l.mark(at)
	}
	for at, n := range a.graph.Nodes {
		if _, root := roots[n.Path]; root {
			l.mark(int32(at))
		}
	}
	return l, nil
}

func (a *amongst) nodes() error {
	provisional := map[storepath.Path]validity.Info{}
	for _, i := range a.view.Provisional {
		provisional[i.Path] = i
	}
	for _, p := range a.o.Paths {
		i, valid := provisional[p]
		if !valid {
			var err error
			if i, valid, err = a.view.Get(p); err != nil {
				return err
			}
		}
		if _, twice := a.graph.Find(p); valid && !twice {
			a.graph.Add(validity.Node{Path: p, Deriver: -1, NarSize: i.NarSize})
		}
	}
	return nil
}

// needers notes which of the others need one, or that somebody else does.
func (a *amongst) needers(at int32) error {
	nodes := a.graph.Nodes
	err := a.each(a.view.ReferrerAfter, at, func(by int32) { nodes[by].References = append(nodes[by].References, at) })
	if err == nil && a.o.KeepDerivations {
		err = a.each(a.view.MadeAfter, at, func(by int32) { nodes[by].Deriver = at })
	}
	if err != nil || !a.o.KeepOutputs {
		return err
	}
	derivers, err := a.c.DB.Derivers(nodes[at].Path)
	for _, drv := range derivers {
		a.need(drv, at, func(by int32) { nodes[by].Outputs = append(nodes[by].Outputs, at) })
	}
	return err
}

func (a *amongst) each(after following, at int32, note func(by int32)) error {
	of := a.graph.Nodes[at].Path
	next, found, err := another(after, of, storepath.Path{})
	for found && err == nil && a.need(next, at, note) {
		next, found, err = another(after, of, next)
	}
	return err
}

// need notes that a path needs one of those; it reports whether it is among them itself.
// Where it is not, nobody else matters.
func (a *amongst) need(by storepath.Path, at int32, note func(by int32)) bool {
	n, among := a.graph.Find(by)
	switch {
	case !among:
		a.needed = append(a.needed, at)
	case n != at:
		note(n)
	}
	return among
}
