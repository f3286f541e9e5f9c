package sessions

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	"troupe/actors/ports"
	"troupe/messages"
	"troupe/messages/workerproto"
	"troupe/storage/storepath"
)

// follow tells the client of one build: that it began, what it writes, and that
// it is over, or its machine lost. What is said of the goal meanwhile is not for
// this goroutine.
func (w *watcher) follow(g *goal, path storepath.Path, machine string, lost <-chan struct{}) {
	defer w.following.Done()
	drv := w.out.d.Dir.Join(path)
	text := doing(g.at) + " '" + drv + "'"
	if machine != "" {
		text += " on '" + machine + "'"
	}
	id := w.out.start(workerproto.StartActivity{Level: workerproto.LevelInfo, Type: workerproto.ActBuild, Text: text,
		Fields: []workerproto.Field{workerproto.Text(drv), workerproto.Text(machine), workerproto.Number(1), workerproto.Number(1)}})
	defer w.out.stop(id)
	log, err := w.logs.FollowLog(w.ctx, g.at, path)
	if err != nil {
		w.out.line(workerproto.LevelDebug, err.Error())
	} else {
		b := builderLog{out: w.out, activity: id, nested: map[uint64]uint64{}}
		b.copy(log)
		log.Close() // it is only read
	}
	select {
	case <-g.ended:
		w.outcome(id, g.result.Status)
	case <-lost:
	case <-w.ctx.Done():
	}
}

// doing is how Nix calls what is done, which programs look for.
func doing(at messages.Address) string {
	switch at.BuildMode() {
	case messages.Check:
		return "checking outputs of"
	case messages.Repair:
		return "repairing outputs of"
	}
	return "building"
}

// outcome says in numbers how a build ended, that of one it is done or failed.
// Nix's clients count nothing by it; ours, which draw every build, do.
func (w *watcher) outcome(activity uint64, s messages.Status) {
	done, failed := uint64(0), uint64(0)
	switch {
	case s == messages.Built:
		done = 1
	case !s.OK() && s != messages.Cancelled:
		failed = 1
	}
	w.out.result(activity, workerproto.ResProgress, workerproto.Number(done), workerproto.Number(1), workerproto.Number(0), workerproto.Number(failed))
}

// builderLog passes a builder's lines on, and its sayings as activities.
type builderLog struct {
	out      *output
	activity uint64
	nested   map[uint64]uint64 // the builder's number of an activity to ours
}

// copy tells the lines of a log. One that is longer than the buffer is cut in pieces.
func (b *builderLog) copy(log io.Reader) {
	lines := buffered(log)
	defer giveBack(lines)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			b.line(bytes.TrimSuffix(line, []byte("\n")))
		}
		if err != nil && err != bufio.ErrBufferFull {
			break
		}
	}
	for _, id := range b.nested {
		b.out.stop(id)
	}
}

func (b *builderLog) line(line []byte) {
	saying, is, err := ports.ReadSaying(line)
	switch {
	case err != nil:
		b.out.warn("Unable to handle a JSON message from the derivation builder: " + err.Error())
	case is:
		b.saying(saying)
		return
	}
	b.out.result(b.activity, workerproto.ResBuildLogLine, workerproto.Text(overwritten(string(line))))
}

// overwritten is a line as a terminal shows it: a carriage return goes back to
// its beginning.
func overwritten(line string) string {
	line = strings.TrimSuffix(line, "\r")
	if !strings.Contains(line, "\r") {
		return line
	}
	var shown []byte
	for part := range strings.SplitSeq(line, "\r") {
		shown = append([]byte(part), shown[min(len(part), len(shown)):]...)
	}
	return string(shown)
}

// saying passes on what a builder says of its own activities.
func (b *builderLog) saying(m ports.Saying) {
	switch m.Action {
	case "setPhase":
		b.out.result(b.activity, workerproto.ResSetPhase, workerproto.Text(m.Phase))
	case "msg":
		b.out.line(workerproto.Level(min(m.Level, uint64(workerproto.LevelVomit))), m.Msg)
	case "start":
		// Of activities, builders may only have downloads.
		if workerproto.ActivityType(m.Type) == workerproto.ActFileTransfer {
			b.nested[m.ID] = b.out.start(workerproto.StartActivity{Level: workerproto.Level(min(m.Level, uint64(workerproto.LevelVomit))),
				Type: workerproto.ActFileTransfer, Text: m.Text, Fields: fields(m.Fields), Parent: b.activity})
		}
	case "stop":
		if id, ok := b.nested[m.ID]; ok {
			b.out.stop(id)
			delete(b.nested, m.ID)
		}
	case "result":
		if id, ok := b.nested[m.ID]; ok {
			b.out.result(id, workerproto.ResultType(m.Type), fields(m.Fields)...)
		}
	}
}

// fields are numbers and texts; others are left out.
func fields(list []any) (all []workerproto.Field) {
	for _, v := range list {
		switch v := v.(type) {
		case float64:
			all = append(all, workerproto.Number(uint64(v)))
		case string:
			all = append(all, workerproto.Text(v))
		}
	}
	return all
}
