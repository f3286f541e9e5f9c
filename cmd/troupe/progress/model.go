// Package progress shows a person what goals do. It hears the facts that goals
// tell about themselves, and no decision depends on it.
//
// On a terminal the lower lines are redrawn a few times a second:
//
//	12/40 built, 3 running, 25 waiting, 1 failed
//	  ▶ hello-2.12            1m04s  checking for gcc... gcc
//	  ▶ zlib-1.3                 2s  making all
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
}

// Counts are the numbers of builds as somebody else counts them, who does not say
// which they are. Expected has all.
type Counts struct{ Done, Expected, Running, Failed uint64 }

// row is one derivation goal.
type row struct {
	goal    messages.Address
	name    string // of the derivation, without ".drv"
	state   string
	wait    messages.Wait
	line    string // last of its log
	began   time.Time
	counted bool // it needs a build
}

func newModel() *model { return &model{rows: map[messages.Address]*row{}} }

// change notes what a goal does now.
func (m *model) change(c *messages.GoalChanged, now time.Time) *row {
	r := m.rows[c.Goal]
	if r == nil {
		r = &row{goal: c.Goal, name: strings.TrimSuffix(c.Drv.Name(), ".drv")}
		m.rows[c.Goal] = r
	}
	if !r.counted && c.State != "init" && c.State != "haveDerivation" && c.State != "inspecting" {
		r.counted = true
		m.open++
	}
	if c.State == "building" && r.state != "building" {
		r.began = now
	}
	r.state, r.wait = c.State, c.Wait
	return r
}

// end notes that a goal is over. It returns nil for one that never was to be
// built.
func (m *model) end(e *messages.GoalEnded) *row {
	r := m.rows[e.Goal]
	delete(m.rows, e.Goal)
	if r == nil || !r.counted {
		if !e.Result.Status.OK() && e.Result.Status != messages.Cancelled {
			m.failed++
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
