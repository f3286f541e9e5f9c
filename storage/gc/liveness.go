package gc

import (
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
	t := &tarjan{l: l, seen: make([]int32, len(l.graph.Nodes)), low: make([]int32, len(l.graph.Nodes))}
	for at := range l.graph.Nodes {
		if !l.live[at] && t.seen[at] == 0 {
			t.walk(int32(at))
		}
	}
	for i, j := 0, len(t.groups)-1; i < j; i, j = i+1, j-1 {
		t.groups[i], t.groups[j] = t.groups[j], t.groups[i]
	}
	return t.groups
}

// tarjan finds the strongly connected groups of what is dead, by Tarjan's
// algorithm: a group comes after all that it refers to. It does not recurse, as
// a chain of references may be as long as the store is large.
type tarjan struct {
	l      *liveness
	count  int32
	seen   []int32 // order of the first visit, from 1
	low    []int32 // the earliest that can be reached; done once the group is known
	open   []int32 // seen and in no group yet
	groups [][]int32
}

const done = 1<<31 - 1

type visit struct {
	at   int32
	next int // of its references
}

func (t *tarjan) enter(at int32) visit {
	t.count++
	t.seen[at], t.low[at] = t.count, t.count
	t.open = append(t.open, at)
	return visit{at: at}
}

func (t *tarjan) walk(from int32) {
	path := []visit{t.enter(from)}
	for len(path) > 0 {
		top := &path[len(path)-1]
		if refs := t.l.graph.Nodes[top.at].References; top.next < len(refs) {
			r := refs[top.next]
			top.next++
			switch {
			case t.l.live[r]:
			case t.seen[r] == 0:
				path = append(path, t.enter(r))
			default:
				t.low[top.at] = min(t.low[top.at], t.low[r])
			}
			continue
		}
		at := top.at
		path = path[:len(path)-1]
		if len(path) > 0 {
			above := path[len(path)-1].at
			t.low[above] = min(t.low[above], t.low[at])
		}
		if t.low[at] == t.seen[at] {
			t.close(at)
		}
	}
}

// close takes a group off the open ones.
func (t *tarjan) close(at int32) {
	n := len(t.open) - 1
	for t.open[n] != at {
		n--
	}
	group := append([]int32(nil), t.open[n:]...)
	t.open = t.open[:n]
	for _, g := range group {
		t.low[g] = done
	}
	t.groups = append(t.groups, group)
}
