package gc

import (
	"context"
	"errors"
	"slices"

	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// peeling finds what is dead without a look at what stays. It begins with the heads,
// the paths that no other refers to: one that is no root is dead. What a dead path
// needs is dead in turn once nobody else needs it. So what is left is needed by a root or
// is in a cycle, or below one; of each cycle a path is known, from which it is looked
// upwards for a root.
//
// Of who needs a path one is remembered, its witness, and others are looked for only
// when that one has died: from there on, as those before it are dead already. So of a
// path that half of the store refers to only those that die are ever read.
type peeling struct {
	view            *validity.View
	keepDerivations bool
	roots           map[storepath.Path]struct{}

	graph *validity.Graph // of what was touched
	nodes []peeled        // beside the graph's
	dying []int32         // dead, and not seen to what it needs
	stale []storepath.Path
}

// fate is what is known of a path that was touched.
type fate uint8

const (
	open   fate = iota // needed by its witness, if that is not dead
	held               // a root, or needed by one
	dead               // needed by nobody
	absent             // not valid
)

type peeled struct {
	fate    fate
	made    bool  // the witness names it as its deriver; else it refers to it
	witness int32 // -1 for none
}

// peel is the liveness of all that is dead and of what that needs. The roots need not be
// valid.
func peel(ctx context.Context, view *validity.View, roots map[storepath.Path]struct{}, keepDerivations bool) (*peeling, error) {
	p := &peeling{view: view, keepDerivations: keepDerivations, roots: roots, graph: &validity.Graph{}}
	hold(roots, view, keepDerivations)
	heads, err := view.Heads()
	if err != nil {
		return nil, err
	}
	for _, h := range heads {
		if err := p.head(h); err != nil {
			return nil, err
		}
	}
	if err := p.fall(ctx); err != nil {
		return nil, err
	}
	knots, err := view.Knots()
	if err != nil {
		return nil, err
	}
	for _, k := range knots {
		err := p.prove(p.number(k))
		if err == nil {
			err = p.fall(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	p.findStale(heads, knots)
	return p, nil
}

// hold makes roots of the paths that are not durable and of what these need, which no
// index has.
func hold(roots map[storepath.Path]struct{}, view *validity.View, keepDerivations bool) {
	for _, i := range view.Provisional {
		roots[i.Path] = struct{}{}
		for _, r := range i.References {
			roots[r] = struct{}{}
		}
		if keepDerivations {
			roots[i.Deriver] = struct{}{}
		}
	}
}

// number is the place of a path, which is made if need be.
func (p *peeling) number(path storepath.Path) int32 {
	if at, known := p.graph.Find(path); known {
		return at
	}
	n := peeled{witness: -1}
	if _, root := p.roots[path]; root {
		n.fate = held
	}
	p.graph.Add(validity.Node{Path: path, Deriver: -1})
	p.nodes = append(p.nodes, n)
	return int32(len(p.nodes) - 1)
}

// head looks at one that may be a head; of roots, which most are, nothing is kept.
func (p *peeling) head(path storepath.Path) error {
	if _, root := p.roots[path]; root {
		return nil
	}
	return p.consider(p.number(path))
}

// needer is who needs a path, the next after one: first those who refer to it, then those
// that it made.
func (p *peeling) needer(at int32, made bool, last storepath.Path) (next storepath.Path, byMade, found bool, err error) {
	path := p.graph.Nodes[at].Path
	if !made {
		next, found, err = another(p.view.ReferrerAfter, path, last)
		if found || err != nil || !p.keepDerivations {
			return next, false, found, err
		}
		last = storepath.Path{}
	}
	next, found, err = another(p.view.MadeAfter, path, last)
	return next, true, found, err
}

// following is who needs a path, the next after one in the order of their names.
type following func(of, last storepath.Path) (next storepath.Path, found bool, err error)

// another leaves out that a path needs itself.
func another(after following, of, last storepath.Path) (storepath.Path, bool, error) {
	next, found, err := after(of, last)
	if found && next == of {
		return after(of, next)
	}
	return next, found, err
}

// consider finds out whether a path is needed by one that is not dead, as far as is
// known.
func (p *peeling) consider(at int32) error {
	for n := &p.nodes[at]; n.fate == open; n = &p.nodes[at] {
		var last storepath.Path
		if n.witness >= 0 {
			if p.nodes[n.witness].fate != dead {
				return nil
			}
			last = p.graph.Nodes[n.witness].Path
		}
		next, made, found, err := p.needer(at, n.made, last)
		if err != nil {
			return err
		}
		if !found {
			p.die(at)
			return nil
		}
		witness := p.number(next)
		p.nodes[at].witness, p.nodes[at].made = witness, made
	}
	return nil
}

func (p *peeling) die(at int32) {
	p.nodes[at].fate = dead
	p.dying = append(p.dying, at)
}

// fall sees to what the dying need, until nobody dies of it. It goes by names, as the
// database does.
func (p *peeling) fall(ctx context.Context) error {
	for len(p.dying) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		dying := p.dying
		p.dying = nil
		p.inOrder(dying)
		var needed []int32
		for _, at := range dying {
			var err error
			if needed, err = p.needs(at, needed); err != nil {
				return err
			}
		}
		p.inOrder(needed)
		for _, at := range slices.Compact(needed) {
			if err := p.consider(at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *peeling) inOrder(all []int32) {
	slices.SortFunc(all, func(a, b int32) int { return p.graph.Nodes[a].Path.Compare(p.graph.Nodes[b].Path) })
}

// needs notes what a dead path needs, and adds it to what is to be considered.
func (p *peeling) needs(at int32, to []int32) ([]int32, error) {
	needs, valid, err := p.view.Get(p.graph.Nodes[at].Path)
	if err != nil {
		return to, err
	}
	if !valid {
		p.nodes[at].fate = absent
		return to, nil
	}
	references := make([]int32, 0, len(needs.References))
	for _, r := range needs.References {
		references = append(references, p.number(r))
	}
	to = append(to, references...)
	deriver := int32(-1)
	if p.keepDerivations && !needs.Deriver.IsZero() {
		deriver = p.number(needs.Deriver)
		to = append(to, deriver)
	}
	n := &p.graph.Nodes[at]
	n.References, n.Deriver, n.NarSize = references, deriver, needs.NarSize
	return to, nil
}

// climb is where the search for a root has come to, of one path on its way.
type climb struct {
	at   int32
	made bool
	last storepath.Path
}

// prove looks for a root that needs a path, upwards. Where there is none, all that needs
// it is dead, in cycles, and so is the path. What is not dead has somebody above it, so
// that the search mostly goes straight to a root.
func (p *peeling) prove(from int32) error {
	if p.nodes[from].fate != open {
		return nil
	}
	seen := map[int32]struct{}{from: {}}
	way := []climb{{at: from}}
	for len(way) > 0 {
		top := &way[len(way)-1]
		next, made, found, err := p.needer(top.at, top.made, top.last)
		if err != nil {
			return err
		}
		if !found {
			way = way[:len(way)-1]
			continue
		}
		top.made, top.last = made, next
		at := p.number(next)
		if p.nodes[at].fate == held {
			for _, c := range way {
				p.nodes[c.at].fate = held
			}
			return nil
		}
		if _, again := seen[at]; !again && p.nodes[at].fate == open {
			seen[at] = struct{}{}
			way = append(way, climb{at: at})
		}
	}
	for at := range seen {
		p.die(at)
	}
	return nil
}

// findStale finds what is in the indexes for nothing: heads that others refer to, and
// knots that are not valid.
func (p *peeling) findStale(heads, knots []storepath.Path) {
	for _, path := range heads {
		at, touched := p.graph.Find(path)
		if !touched {
			continue
		}
		if n := p.nodes[at]; n.fate == absent || n.fate != dead && n.witness >= 0 && !n.made {
			p.stale = append(p.stale, path)
		}
	}
	for _, path := range knots {
		if p.nodes[p.number(path)].fate == absent {
			p.stale = append(p.stale, path)
		}
	}
}

// liveness is over all that was touched.
func (p *peeling) liveness() *liveness {
	l := newLiveness(p.graph, p.keepDerivations, false)
	for at, n := range p.nodes {
		l.live[at] = n.fate != dead
	}
	return l
}

// peel looks for what is dead from the heads on, and puts the indexes right if it may.
func (c *Collector) peel(ctx context.Context, o Options, roots map[storepath.Path]struct{}) (*liveness, error) {
	view, err := c.DB.View()
	if err != nil {
		return nil, err
	}
	p, err := peel(ctx, view, roots, o.KeepDerivations)
	if err := errors.Join(err, view.Close()); err != nil {
		return nil, err
	}
	if o.Action == DeleteDead && len(p.stale) > 0 {
		err = c.DB.Tidy(p.stale)
	}
	return p.liveness(), err
}
