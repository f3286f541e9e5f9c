package simulation

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"troupe/actors/goal"
	"troupe/actors/host"
	"troupe/actors/machines"
	"troupe/actors/session"
	"troupe/actors/worker"
	"troupe/messages"
)

// Coverage counts which rows of the machines' tables were seen.
type Coverage struct {
	taken map[taken]int
	seen  map[host.Pair]int // the same, by names: made by [Coverage.Add]
}

// taken is a [host.Pair] that takes no time to make.
type taken struct {
	machine, state string
	message        reflect.Type
}

// NewCoverage makes one that has seen nothing.
func NewCoverage() *Coverage { return &Coverage{map[taken]int{}, map[host.Pair]int{}} }

// cover notes what a machine is about to take.
func (w *World) cover(m host.Machine, msg messages.Message) {
	if w.coverage == nil {
		return
	}
	if p, ok := m.(*panicker); ok {
		m = p.Machine
	}
	if t, ok := m.(host.Tabled); ok {
		w.coverage.taken[taken{t.Table().Machine, t.StateFor(msg), reflect.TypeOf(msg).Elem()}]++
	}
}

// Add adds what another has seen.
func (c *Coverage) Add(o *Coverage) {
	for t, n := range o.taken {
		c.seen[host.Pair{Machine: t.machine, State: t.state, Message: messages.NameOf(t.message.Name())}] += n
	}
}

// tables are those of all machines.
func tables() (all []host.Table) {
	var s machines.Settings
	kinds := []host.Kind{worker.KindDerivation, worker.KindSubstitution, worker.KindCleanUp, goal.KindChild, session.KindSession}
	for _, f := range machines.AllFixed {
		kinds = append(kinds, f.Kind)
	}
	for _, k := range kinds {
		all = append(all, s.Make(k, "x").(host.Tabled).Table())
	}
	return all
}

// happens reports whether anything of a machine is in the world.
func (c *Coverage) happens(t host.Table) bool {
	return slices.ContainsFunc(t.Pairs(), func(p host.Pair) bool { return c.seen[p] > 0 })
}

// Report says what share of the rows was seen, which were not, and what was
// seen that no table has. Machines of which nothing was seen are named.
func (c *Coverage) Report(w io.Writer) {
	var unseen, absent []string
	listed := map[host.Pair]bool{}
	for _, t := range tables() {
		if !c.happens(t) {
			absent = append(absent, t.Machine)
			continue
		}
		for _, p := range t.Pairs() {
			listed[p] = true
			if c.seen[p] == 0 {
				unseen = append(unseen, p.String())
			}
		}
	}
	fmt.Fprintf(w, "coverage: %d of %d pairs of state and message (%.1f %%)\n", len(listed)-len(unseen), len(listed), c.Share()*100)
	for _, p := range unseen {
		fmt.Fprintf(w, "  never seen: %s\n", p)
	}
	for _, m := range absent {
		fmt.Fprintf(w, "  not in these worlds: %s\n", m)
	}
	for _, p := range c.unlisted(listed) {
		fmt.Fprintf(w, "  in no table: %s\n", p)
	}
}

// Share is the part of the rows that were seen, from 0 to 1, of the machines of
// which any was.
func (c *Coverage) Share() float64 {
	seen, all := 0, 0
	for _, t := range tables() {
		if !c.happens(t) {
			continue
		}
		for _, p := range t.Pairs() {
			all++
			if c.seen[p] > 0 {
				seen++
			}
		}
	}
	return float64(seen) / float64(all)
}

func (c *Coverage) unlisted(listed map[host.Pair]bool) (found []string) {
	for p := range c.seen {
		if !listed[p] {
			found = append(found, p.String())
		}
	}
	slices.SortFunc(found, strings.Compare)
	return found
}
