// Package progress shows a person what goals do. It hears the facts that goals
// tell about themselves, and no decision depends on it.
//
// On a terminal the lower lines are redrawn a few times a second:
//
//	12/40 built, 3 running, 25 waiting, 1 failed; 5/9 fetched, 20.1/83.5 MiB
//	  ▶ hello-2.12            1m04s  checking for gcc... gcc
//	  ▶ zlib-1.3                 2s  making all
//	  ⇣ glibc-2.35               4s  9.3/29.6 MiB from https://cache.nixos.org
//	  ⏸ bash-5.2                     path lock (held by another process)
//	  … 24 wait: 20 inputs, 4 build slot
//
// Without a terminal it writes one line when a build starts and one when it
// ends.
package progress

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"troupe/messages"
)

// model is what is known of the goals.
type model struct {
	rows                map[messages.Address]*row
	built, failed, open int // open: known to need a build and not yet ended
	told                *Counts

	fetched        int    // paths
	fetchedNarSize uint64 // bytes of these
}

// Counts are the numbers of builds as somebody else counts them, who does not say
// which they are. Expected has all.
type Counts struct{ Done, Expected, Running, Failed uint64 }

// row is one goal.
type row struct {
	goal    messages.Address
	name    string // of the derivation, without ".drv"
	state   string
	wait    messages.Wait
	machine string // where it is built, if not here
	line    string // last of its log
	began   time.Time
	counted bool // it needs a build

	offer messages.GoalFetches // what it fetches, or is about to
	bytes uint64               // of the NAR that have come
}

// fetching is the state in which a path is fetched.
const fetching = "fetching"

func newModel() *model { return &model{rows: map[messages.Address]*row{}} }

// change notes what a goal does now.
func (m *model) change(c *messages.GoalChanged, now time.Time) *row {
	r := m.rows[c.Goal]
	if r == nil {
		r = &row{goal: c.Goal, name: strings.TrimSuffix(c.Drv.Name(), ".drv")}
		m.rows[c.Goal] = r
	}
	if !r.counted && messages.NeedsBuild(c.Goal, c.State) {
		r.counted = true
		m.open++
	}
	if (c.State == "building" || c.State == fetching) && r.state != c.State {
		r.began = now
	}
	r.state, r.wait, r.machine = c.State, c.Wait, c.Machine
	return r
}

// offer notes what a goal is about to fetch.
func (m *model) offer(o *messages.GoalFetches) {
	if r := m.rows[o.Goal]; r != nil {
		r.offer, r.bytes = *o, 0
	}
}

// came notes how much of it is there.
func (m *model) came(p *messages.PathProgress) {
	if r := m.rows[p.Goal]; r != nil {
		r.bytes = p.Unpacked
	}
}

// fetches counts the paths that were, are or will be fetched, and their bytes.
func (m *model) fetches() (all int, came, total uint64) {
	all, came, total = m.fetched, m.fetchedNarSize, m.fetchedNarSize
	for _, r := range m.rows {
		if r.offer.NarSize > 0 {
			all++
			came += r.bytes
			total += r.offer.NarSize
		}
	}
	return all, came, total
}

// end notes that a goal is over. It returns nil for one that never was to be
// built.
func (m *model) end(e *messages.GoalEnded) *row {
	r := m.rows[e.Goal]
	delete(m.rows, e.Goal)
	if r == nil || !r.counted {
		if messages.Shown(e.Goal, e.Result) {
			m.failed++
		}
		if r != nil && e.Result.Status == messages.Substituted && e.Goal.IsFetch() {
			m.fetched++
			m.fetchedNarSize += r.offer.NarSize
		}
		return nil
	}
	m.open--
	switch {
	case e.Result.Status == messages.Built:
		m.built++
	case e.Result.Status.OK(), e.Result.Status == messages.Cancelled:
	default:
		m.failed++
	}
	return r
}

// busy lists the goals that do something, the oldest first, and those with a
// wait that is worth a line of its own.
func (m *model) busy() (running, stuck []*row) {
	for _, r := range m.rows {
		switch {
		case r.state == fetching:
			running = append(running, r)
		case !r.counted:
		case r.wait.For == messages.PathLock || r.wait.For == messages.FreeUser:
			stuck = append(stuck, r)
		case r.wait.For == messages.Nothing && !r.began.IsZero():
			running = append(running, r)
		}
	}
	slices.SortFunc(running, func(a, b *row) int { return cmp.Or(a.began.Compare(b.began), cmp.Compare(a.goal, b.goal)) })
	slices.SortFunc(stuck, func(a, b *row) int { return cmp.Compare(a.goal, b.goal) })
	return running, stuck
}

// waits counts the goals that wait, by what for.
func (m *model) waits() (total int, by map[messages.WaitFor]int) {
	by = map[messages.WaitFor]int{}
	for _, r := range m.rows {
		if r.counted && r.wait.For != messages.Nothing {
			by[r.wait.For]++
			total++
		}
	}
	return total, by
}
