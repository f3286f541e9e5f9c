package host

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"troupe/messages"
)

// Table lists the transitions of one sort of machine, as text for people: a
// header, a rule, and rows of state, message, next state and effects, in columns
// that two blanks or more part. A state may be a list "a,b", a range "a…b" in
// the order of States, or "any".
type Table struct {
	Machine string
	States  []string
	Text    string
}

// Pair is a state and the name of a message that it takes.
type Pair struct{ Machine, State, Message string }

func (p Pair) String() string { return p.Machine + " " + p.State + " <- " + p.Message }

var columns = regexp.MustCompile(`  +`)

// Pairs lists what the table says can happen, sorted and without repetitions.
// Messages are named as the journal names them. A table that cannot be read is
// an error of ours, and panics.
func (t Table) Pairs() (pairs []Pair) {
	lines := strings.Split(strings.Trim(t.Text, "\n"), "\n")
	for _, line := range lines[2:] {
		cells := columns.Split(strings.TrimSpace(line), 4)
		if len(cells) < 3 {
			panic(fmt.Sprintf("table of %s: %q has no next state", t.Machine, line))
		}
		for _, state := range t.states(cells[0]) {
			pairs = append(pairs, Pair{t.Machine, state, messages.NameOf(cells[1])})
		}
	}
	slices.SortFunc(pairs, func(a, b Pair) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(pairs)
}

func (t Table) states(cell string) (states []string) {
	for _, item := range strings.Split(cell, ",") {
		first, last, isRange := strings.Cut(item, "…")
		switch {
		case item == "any":
			states = append(states, t.States...)
		case isRange:
			states = append(states, t.States[t.index(first):t.index(last)+1]...)
		default:
			states = append(states, t.States[t.index(item)])
		}
	}
	return states
}

func (t Table) index(state string) int {
	i := slices.Index(t.States, state)
	if i < 0 {
		panic(fmt.Sprintf("table of %s: no state %q", t.Machine, state))
	}
	return i
}
