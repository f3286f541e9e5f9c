package ports

import (
	"slices"
	"sync"

	"troupe/storage/storepath"
)

// names has the text of each path once that recipes name: what many need is named by
// as many recipes, and each of them would keep a text of its own.
type names struct {
	mu    sync.Mutex // guards what follows
	known map[storepath.Path]storepath.Path
}

// namesMost bounds how many paths are remembered: some 2 MB. What is more begins anew.
const namesMost = 1 << 14

func (n *names) path(p storepath.Path) storepath.Path {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known, ok := n.known[p]; ok {
		return known
	}
	if n.known == nil || len(n.known) >= namesMost {
		n.known = map[storepath.Path]storepath.Path{}
	}
	p = p.Clone()
	n.known[p] = p
	return p
}

func (n *names) paths(all []storepath.Path) []storepath.Path {
	same := slices.Clone(all)
	for i, p := range all {
		same[i] = n.path(p)
	}
	return same
}

// onlyOut is what is wanted of most derivations.
var onlyOut = []string{"out"}

// outputNames is a list that nobody changes.
func outputNames(list []string) []string {
	if slices.Equal(list, onlyOut) {
		return onlyOut
	}
	return list
}
