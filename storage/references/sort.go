package references

import (
	"fmt"
	"slices"
	"strings"
)

// CycleError says that outputs refer to each other.
type CycleError struct {
	From, To string   // From refers to To, which closes the cycle
	Cycle    []string // all of it, in order
}

func (e *CycleError) Error() string {
	return fmt.Sprintf("cycle in the references: %s", strings.Join(append(slices.Clone(e.Cycle), e.Cycle[0]), " -> "))
}

// Sort puts names after those that they refer to; where that leaves a choice,
// in the order of the names. Edges to what is not among the names do not count.
func Sort(names []string, edges func(string) []string) ([]string, error) {
	s := sorter{edges: edges, state: map[string]visit{}}
	for _, n := range names {
		s.state[n] = unseen
	}
	for _, n := range slices.Sorted(slices.Values(names)) {
		if err := s.visit(n); err != nil {
			return nil, err
		}
	}
	return s.sorted, nil
}

type visit uint8

const (
	unseen visit = iota
	open         // on the path that is being walked
	closed       // in the result
)

type sorter struct {
	edges  func(string) []string
	state  map[string]visit
	path   []string
	sorted []string
}

func (s *sorter) visit(n string) error {
	switch s.state[n] {
	case closed:
		return nil
	case open:
		cycle := slices.Clone(s.path[slices.Index(s.path, n):])
		return &CycleError{From: cycle[len(cycle)-1], To: n, Cycle: cycle}
	}
	s.state[n] = open
	s.path = append(s.path, n)
	for _, to := range slices.Sorted(slices.Values(s.edges(n))) {
		if _, known := s.state[to]; !known || to == n {
			continue
		}
		if err := s.visit(to); err != nil {
			return err
		}
	}
	s.path = s.path[:len(s.path)-1]
	s.state[n] = closed
	s.sorted = append(s.sorted, n)
	return nil
}
