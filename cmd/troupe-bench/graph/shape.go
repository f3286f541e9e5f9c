// Package graph makes derivations to measure daemons by: who needs whom is a
// [Shape], and a [Maker] turns it into derivations of a store, with trivial
// builders whose outputs are known before they are built. It does no I/O but to
// read graphs of others.
package graph

import "fmt"

// Shape says who needs whom.
type Shape struct {
	// Nodes have all inputs before what reads them. The last is what is asked for.
	Nodes []Node
}

// Node is a derivation to be.
type Node struct {
	Name   string
	Inputs []int // indices of nodes
}

// Chain is n nodes, each of which reads the one before.
func Chain(n int) Shape {
	var s Shape
	for i := range n {
		node := Node{Name: fmt.Sprintf("step-%d", i)}
		if i > 0 {
			node.Inputs = []int{i - 1}
		}
		s.Nodes = append(s.Nodes, node)
	}
	return s
}

// Independent is n nodes without inputs, and one that reads them all.
func Independent(n int) Shape {
	var s Shape
	for i := range n {
		s.Nodes = append(s.Nodes, Node{Name: fmt.Sprintf("leaf-%d", i)})
	}
	return s.topped(0)
}

// Layered is layers of width nodes each, of which each reads some of the layer
// before, spread over it; and one that reads the last layer.
func Layered(layers, width, inputs int) Shape {
	var s Shape
	for l := range layers {
		for w := range width {
			node := Node{Name: fmt.Sprintf("layer-%d-%d", l, w)}
			for k := 0; l > 0 && k < min(inputs, width); k++ {
				node.Inputs = append(node.Inputs, (l-1)*width+(w+k*width/min(inputs, width))%width)
			}
			s.Nodes = append(s.Nodes, node)
		}
	}
	return s.topped(len(s.Nodes) - width)
}

// topped adds a node that reads all from first on.
func (s Shape) topped(first int) Shape {
	top := Node{Name: "top"}
	for i := first; i < len(s.Nodes); i++ {
		top.Inputs = append(top.Inputs, i)
	}
	s.Nodes = append(s.Nodes, top)
	return s
}

// Top is the index of what is asked for.
func (s Shape) Top() int { return len(s.Nodes) - 1 }
