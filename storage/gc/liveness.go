package gc

import (
	"slices"

	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// liveness marks the paths of a graph that are needed. A mark is never taken
// back.
type liveness struct {
	graph           *validity.Graph
	keepDerivations bool
	keepOutputs     bool

	live   []bool
	leased map[string]struct{} // hash parts of all that somebody is at work with, valid or not
	stack  []int32
}

func newLiveness(g *validity.Graph, keepDerivations, keepOutputs bool) *liveness {
	return &liveness{graph: g, keepDerivations: keepDerivations, keepOutputs: keepOutputs,
		live: make([]bool, len(g.Nodes)), leased: map[string]struct{}{}}
}

// markRoot marks what is needed for a root. What a process has need not be valid
// yet; what a link keeps is.
func (l *liveness) markRoot(r Root) {
	if r.Private {
		l.markPaths([]storepath.Path{r.Path})
	} else {
		l.markPath(r.Path)
	}
}

// markPaths marks what is needed for paths that somebody is at work with, which
// need not be in the graph.
func (l *liveness) markPaths(paths []storepath.Path) {
	for _, p := range paths {
		l.leased[p.HashPart()] = struct{}{}
		l.markPath(p)
	}
}

func (l *liveness) markPath(p storepath.Path) {
	if at, known := l.graph.Find(p); known {
		l.mark(at)
	}
}

// mark marks a path with all that it needs: its references, with
// keepDerivations the derivation that made it, and with keepOutputs what it
// makes if it is a derivation.
func (l *liveness) mark(at int32) {
	l.push(at)
	for len(l.stack) > 0 {
		n := &l.graph.Nodes[l.stack[len(l.stack)-1]]
		l.stack = l.stack[:len(l.stack)-1]
		for _, r := range n.References {
			l.push(r)
		}
		if l.keepDerivations && n.Deriver >= 0 {
			l.push(n.Deriver)
		}
		if l.keepOutputs {
			for _, o := range n.Outputs {
				l.push(o)
			}
		}
	}
}

func (l *liveness) push(at int32) {
	if !l.live[at] {
		l.live[at] = true
		l.stack = append(l.stack, at)
	}
}

// spares says whether a file of the store is somebody's, by its hash part: the
// lock and the build directory of a path that is leased are called after it.
func (l *liveness) spares(p storepath.Path) bool {
	_, leased := l.leased[p.HashPart()]
	return leased
}

// dead are the paths that are not live, in groups, referrers before what they
// refer to. Paths that refer to each other are one group.
func (l *liveness) dead() [][]int32 {
	groups := validity.Groups(len(l.graph.Nodes), func(at int32) bool { return !l.live[at] }, func(at int32, n int) (int32, bool) {
		refs := l.graph.Nodes[at].References
		if n == len(refs) {
			return 0, false
		}
		return refs[n], true
	})
	slices.Reverse(groups)
	return groups
}
