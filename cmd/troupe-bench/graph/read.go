package graph

import (
	"fmt"
	"strings"

	"troupe/messages"
	"troupe/storage/storepath"
)

// OfRecipes is the shape of derivations that were read, with a node that reads all
// that no other does. Inputs that are not among them are left out.
func OfRecipes(recipes []messages.Recipe) (Shape, error) {
	s := shaping{recipes: recipes, index: map[storepath.Path]int{}, place: make([]int, len(recipes)), needed: make([]bool, len(recipes))}
	for i, r := range recipes {
		s.index[r.Drv] = i
	}
	for i := range recipes {
		if err := s.add(i); err != nil {
			return Shape{}, err
		}
	}
	top := Node{Name: "top"}
	for i, needed := range s.needed {
		if !needed {
			top.Inputs = append(top.Inputs, s.place[i]-1)
		}
	}
	s.Nodes = append(s.Nodes, top)
	return s.Shape, nil
}

type shaping struct {
	Shape
	recipes []messages.Recipe
	index   map[storepath.Path]int
	place   []int  // of a recipe among the nodes, counted from 1; -1 while its inputs are placed
	needed  []bool // recipes that others read
}

// add places a recipe, after its inputs.
func (s *shaping) add(i int) error {
	switch {
	case s.place[i] > 0:
		return nil
	case s.place[i] < 0:
		return fmt.Errorf("read graph: '%s' needs itself", s.recipes[i].Drv)
	}
	s.place[i] = -1
	node := Node{Name: strings.TrimSuffix(s.recipes[i].Drv.Name(), ".drv")}
	for _, in := range s.recipes[i].Inputs {
		j, known := s.index[in.Path]
		if !known {
			continue
		}
		if err := s.add(j); err != nil {
			return err
		}
		s.needed[j] = true
		node.Inputs = append(node.Inputs, s.place[j]-1)
	}
	s.Nodes = append(s.Nodes, node)
	s.place[i] = len(s.Nodes)
	return nil
}
