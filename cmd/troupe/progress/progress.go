package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"troupe/messages"
)

// Display is the progress of one run, on stderr.
type Display struct {
	out  io.Writer
	size func() (width, height int, ok bool) // of the terminal, if it is one

	mu    sync.Mutex // guards what follows
	model *model
	drawn int // lines on the screen that the next frame replaces
	stop  chan struct{}
	done  chan struct{}
}

// redraw is how often a terminal is drawn.
const redraw = 100 * time.Millisecond

// New makes a display; size tells the terminal's size, or that there is none.
func New(out io.Writer, size func() (int, int, bool)) *Display {
	d := &Display{out: out, size: size, model: newModel(), stop: make(chan struct{}), done: make(chan struct{})}
	if _, _, ok := size(); ok {
		go d.animate()
	} else {
		close(d.done)
	}
	return d
}

// Observe takes what a goal says about itself.
func (d *Display) Observe(m messages.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch m := m.(type) {
	case *messages.GoalChanged:
		was := d.model.rows[m.Goal]
		began := was != nil && was.state == "building"
		r := d.model.change(m, time.Now())
		switch {
		case m.State == "building" && !began:
			d.plain("building %s", r.name)
		case m.State == fetching:
			d.plain("fetching %s from %s", r.name, r.offer.Cache)
		}
	case *messages.HookLine:
		d.print(m.Line)
	case *messages.GoalWarned:
		d.print("warning: " + m.Text)
	case *messages.GoalLine:
		if r := d.model.rows[m.Goal]; r != nil {
			r.line = m.Line
		}
	case *messages.GoalFetches:
		d.model.offer(m)
	case *messages.PathProgress:
		d.model.came(m)
	case *messages.GoalEnded:
		d.ended(m)
	}
}

// Count takes the numbers of builds from somebody who knows them better.
func (d *Display) Count(c Counts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.model.told = &c
}

func (d *Display) ended(m *messages.GoalEnded) {
	r := d.model.end(m)
	switch {
	case messages.Shown(m.Goal, m.Result):
		d.print(Error(m.Result.Error))
	case r != nil && m.Result.Status == messages.Built:
		d.plain("built %s in %s", r.name, m.Result.Duration.Round(time.Millisecond))
	}
}

// Error renders an error for a person: its first line behind "error:", the
// others indented under it.
func Error(text string) string {
	return "error: " + strings.ReplaceAll(text, "\n", "\n       ")
}

// plain writes a line where there is no terminal to draw on.
func (d *Display) plain(format string, args ...any) {
	if _, _, ok := d.size(); !ok {
		d.print(fmt.Sprintf(format, args...))
	}
}

// Print writes a line above what is being redrawn.
func (d *Display) Print(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.print(line)
}

// print writes in one piece. A stderr that cannot be written to has nobody who
// could be told.
func (d *Display) print(line string) {
	fmt.Fprint(d.out, d.erase()+line+"\n")
}

// erase goes back to the first line of the frame and clears it.
func (d *Display) erase() string {
	if d.drawn == 0 {
		return ""
	}
	s := fmt.Sprintf("\x1b[%dA\r\x1b[J", d.drawn)
	d.drawn = 0
	return s
}

func (d *Display) animate() {
	defer close(d.done)
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case <-d.stop:
			return
		case <-tick.C:
			d.draw()
		}
	}
}

func (d *Display) draw() {
	d.mu.Lock()
	defer d.mu.Unlock()
	width, height, ok := d.size()
	if !ok || len(d.model.rows) == 0 {
		fmt.Fprint(d.out, d.erase())
		return
	}
	lines := d.model.frame(time.Now(), width, height)
	fmt.Fprint(d.out, d.erase()+strings.Join(lines, "\n")+"\n")
	d.drawn = len(lines)
}

// Close takes the frame off the screen.
func (d *Display) Close() {
	close(d.stop)
	<-d.done
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprint(d.out, d.erase())
}
