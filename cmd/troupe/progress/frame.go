package progress

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"troupe/messages"
)

// frame renders the lines that are redrawn, to fit a terminal.
func (m *model) frame(now time.Time, width, height int) []string {
	running, stuck := m.busy()
	waiting, by := m.waits()
	lines := []string{m.summary(len(running), waiting)}
	room := max(height-3, 1)
	for _, r := range running {
		if len(lines) > room {
			break
		}
		mark := "▶"
		if r.state == fetching {
			mark = "⇣"
		}
		lines = append(lines, fmt.Sprintf("  %s %-32s %6s  %s", mark, cut(r.name, 32), age(now.Sub(r.began)), r.doing()))
	}
	for _, r := range stuck {
		if len(lines) > room {
			break
		}
		lines = append(lines, fmt.Sprintf("  ⏸ %-32s         %v", cut(r.name, 32), r.wait.For))
	}
	if waiting > 0 {
		lines = append(lines, "  … "+waitLine(waiting, by))
	}
	for i, l := range lines {
		lines[i] = cut(l, width-1)
	}
	return lines
}

func (m *model) summary(running, waiting int) string {
	c := Counts{Done: uint64(m.built), Expected: uint64(m.built + m.failed + m.open), Running: uint64(running), Failed: uint64(m.failed)}
	if m.told != nil {
		c = *m.told
		waiting = int(max(c.Expected, c.Done+c.Running) - c.Done - c.Running)
		c.Expected += c.Failed
	}
	s := fmt.Sprintf("%d/%d built, %d running, %d waiting", c.Done, c.Expected, c.Running, waiting)
	if c.Failed > 0 {
		s += fmt.Sprintf(", %d failed", c.Failed)
	}
	if all, came, total := m.fetches(); all > 0 {
		s += fmt.Sprintf("; %d/%d fetched, %s MiB", m.fetched, all, ofMiB(came, total))
	}
	return s
}

func ofMiB(came, total uint64) string {
	return fmt.Sprintf("%.1f/%.1f", float64(came)/(1<<20), float64(total)/(1<<20))
}

func (r *row) doing() string {
	if r.state == fetching {
		return ofMiB(r.bytes, r.offer.NarSize) + " MiB from " + r.offer.Cache
	}
	doing := r.line
	if r.state != "building" {
		doing = "(" + r.state + ")"
	}
	if r.machine != "" {
		return "on " + r.machine + "  " + doing
	}
	return doing
}

func waitLine(total int, by map[messages.WaitFor]int) string {
	var parts []string
	for _, w := range []messages.WaitFor{messages.Inputs, messages.BuildSlot, messages.AnyMachine, messages.PathLock, messages.FreeUser} {
		if n := by[w]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d for %v", n, w))
		}
	}
	return fmt.Sprintf("%d wait: %s", total, strings.Join(parts, ", "))
}

// age is a duration in at most six columns.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// cut shortens a line to a width and takes out what would move the cursor: a
// builder's output is not to be trusted with the terminal.
func cut(s string, width int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ', r == 0x7f, r >= 0x80 && r < 0xa0, r == utf8.RuneError:
			return -1
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return string([]rune(s)[:width-1]) + "…"
}
