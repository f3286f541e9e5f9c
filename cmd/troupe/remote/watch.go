package remote

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"troupe/cmd/troupe/progress"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// Watch shows on a display what a daemon says of its builds.
type Watch struct {
	dir    storepath.Dir
	show   *progress.Display
	builds map[uint64]*build // running, by activity
	totals uint64            // the activity that counts all builds
}

// build is an activity that stands for a goal.
type build struct {
	goal   messages.Address
	drv    storepath.Path
	began  time.Time
	status messages.Status
}

// NewWatch makes one for paths of dir; its Hear is for [Client.Hear].
func NewWatch(dir storepath.Dir, show *progress.Display) *Watch {
	return &Watch{dir: dir, show: show, builds: map[uint64]*build{}}
}

// Hear takes one frame.
func (w *Watch) Hear(m workerproto.Frame) {
	switch m := m.(type) {
	case *workerproto.Next:
		w.show.Print(Plain(m.Text))
	case *workerproto.StartActivity:
		w.start(m)
	case *workerproto.Result:
		w.result(m)
	case *workerproto.StopActivity:
		w.stop(m.ID)
	}
}

func (w *Watch) start(m *workerproto.StartActivity) {
	if m.Type == workerproto.ActBuilds {
		w.totals = m.ID
	}
	if m.Type != workerproto.ActBuild || len(m.Fields) == 0 {
		return
	}
	drv, err := w.dir.Parse(m.Fields[0].Text)
	if err != nil {
		return // a daemon of another store; its results will say so
	}
	// A build that ends without a word of how was no failure: that would be told.
	b := &build{goal: messages.Address(fmt.Sprintf("activity/%d", m.ID)), drv: drv, began: time.Now(), status: messages.AlreadyValid}
	w.builds[m.ID] = b
	changed := &messages.GoalChanged{Goal: b.goal, Drv: drv, State: "building"}
	if len(m.Fields) > 1 {
		changed.Machine = m.Fields[1].Text
	}
	w.show.Observe(changed)
}

func (w *Watch) result(m *workerproto.Result) {
	b := w.builds[m.Activity]
	switch {
	case m.Type == workerproto.ResProgress && m.Activity == w.totals && len(m.Fields) == 4:
		w.show.Count(progress.Counts{Done: m.Fields[0].Number, Expected: m.Fields[1].Number, Running: m.Fields[2].Number, Failed: m.Fields[3].Number})
	case b == nil || len(m.Fields) == 0:
	case m.Type == workerproto.ResBuildLogLine:
		w.show.Observe(&messages.GoalLine{Goal: b.goal, Line: m.Fields[0].Text})
	case m.Type == workerproto.ResProgress && len(m.Fields) == 4:
		b.status = outcome(m.Fields)
	}
}

// outcome is how a build ended, of what our daemon says last of it: that one of
// one is done, or has failed. What failed is told in words, and so not again.
func outcome(fields []workerproto.Field) messages.Status {
	switch {
	case fields[0].Number > 0:
		return messages.Built
	case fields[3].Number > 0:
		return messages.Cancelled
	}
	return messages.AlreadyValid
}

func (w *Watch) stop(activity uint64) {
	if b := w.builds[activity]; b != nil {
		delete(w.builds, activity)
		w.show.Observe(&messages.GoalEnded{Goal: b.goal, Drv: b.drv, Result: messages.Result{Status: b.status, Duration: time.Since(b.began)}})
	}
}

// colours are what Nix's daemon puts around words.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Plain is a text of the daemon's as our own are shown.
func Plain(text string) string {
	return strings.TrimSuffix(colours.ReplaceAllString(text, ""), "\n")
}
