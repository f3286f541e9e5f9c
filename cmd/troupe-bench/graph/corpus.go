package graph

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Corpus is a graph of n nodes that looks like one of real software: half of it are
// sources, a few nodes are needed by very many, most by few, and it is deep for
// its size. It is the same for the same n. Compare the closure of 65 programs of
// nixpkgs: 6,941 derivations, 51,536 edges, a depth of 273.
func Corpus(n int) Shape {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	var s Shape
	var built []int // those that are no sources
	needed := make([]bool, n)
	for len(s.Nodes) < n {
		source := len(s.Nodes)
		s.Nodes = append(s.Nodes, Node{Name: fmt.Sprintf("%s-%d.tar.gz", word(rng), source)})
		node := Node{Name: fmt.Sprintf("%s-%d", word(rng), source+1), Inputs: []int{source}}
		for range drawn(rng, len(built)) {
			node.Inputs = append(node.Inputs, built[pick(rng, len(built))])
		}
		slices.Sort(node.Inputs)
		node.Inputs = slices.Compact(node.Inputs)
		for _, i := range node.Inputs {
			needed[i] = true
		}
		if len(s.Nodes) < n {
			built = append(built, len(s.Nodes))
			s.Nodes = append(s.Nodes, node)
		}
	}
	top := Node{Name: "top"}
	for i := range s.Nodes {
		if !needed[i] {
			top.Inputs = append(top.Inputs, i)
		}
	}
	s.Nodes = append(s.Nodes, top)
	return s
}

// word is a name that sorts anywhere.
func word(rng *rand.Rand) string {
	b := make([]byte, 5)
	for i := range b {
		b[i] = 'a' + byte(rng.IntN(26))
	}
	return string(b)
}

// drawn is how many inputs a node has besides its source: 13 on average, most fewer.
func drawn(rng *rand.Rand, most int) int { return min(most, int(rng.ExpFloat64()*13)) }

// pick chooses an earlier node: one of the first, which are compilers and the like,
// or one of the newest, which makes the graph deep.
func pick(rng *rand.Rand, n int) int {
	if rng.IntN(8) == 0 {
		return n - 1 - rng.IntN(min(n, 20))
	}
	u := rng.Float64()
	return int(float64(n) * u * u * u)
}
