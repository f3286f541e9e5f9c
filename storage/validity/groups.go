package validity

// Groups finds the strongly connected groups among the nodes from 0 to count that are
// in, by Tarjan's algorithm: a group comes after all that it refers to. edge is the n-th
// node that one refers to, until there is no more. It does not recurse, as a chain of
// references may be as long as a store is large.
func Groups(count int, in func(at int32) bool, edge func(at int32, n int) (to int32, more bool)) [][]int32 {
	t := &tarjan{in: in, edge: edge, seen: make([]int32, count), low: make([]int32, count)}
	for at := range t.seen {
		if t.seen[at] == 0 && in(int32(at)) {
			t.walk(int32(at))
		}
	}
	return t.groups
}

type tarjan struct {
	in   func(at int32) bool
	edge func(at int32, n int) (to int32, more bool)

	count  int32
	seen   []int32 // order of the first visit, from 1
	low    []int32 // the earliest that can be reached; done once the group is known
	open   []int32 // seen and in no group yet
	groups [][]int32
}

const done = 1<<31 - 1

type visit struct {
	at   int32
	next int // of its edges
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
		if r, more := t.edge(top.at, top.next); more {
			top.next++
			switch {
			case !t.in(r):
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
