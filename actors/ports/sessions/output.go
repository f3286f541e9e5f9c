package sessions

import (
	"io"
	"strings"
	"sync"

	"troupe/messages/workerproto"
)

// output writes to a client. While an operation runs, what is said of builds comes
// from other goroutines.
type output struct {
	mu        sync.Mutex // guards what follows
	w         *workerproto.Writer
	d         workerproto.Dialect
	verbosity workerproto.Level
	open      bool // an operation runs, and frames may be written
	held      int  // so many have more to say before it is sent
	lastID    uint64
	err       error // the first; the connection is of no use after it
}

func newOutput(conn io.Writer) *output {
	return &output{w: workerproto.NewWriter(conn), verbosity: workerproto.LevelInfo}
}

// begin lets frames be written.
func (o *output) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = true
}

// frame writes what is said while an operation runs. What comes too late is not
// said.
func (o *output) frame(m workerproto.Frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open || o.err != nil {
		return
	}
	o.note(workerproto.WriteFrame(o.w, m, o.d))
	if o.held == 0 {
		o.note(o.w.Flush())
	}
}

// together sends all that say says at once, and what others say meanwhile: each time
// that something is sent costs us a call and wakes the client.
func (o *output) together(say func()) {
	o.hold(1)
	defer o.hold(-1)
	say()
}

func (o *output) hold(more int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held += more; o.held == 0 {
		o.note(o.w.Flush())
	}
}

func (o *output) note(err error) {
	if o.err == nil {
		o.err = err
	}
}

// line says something to the person, at a level.
func (o *output) line(level workerproto.Level, text string) {
	o.mu.Lock()
	quiet := level > o.verbosity
	o.mu.Unlock()
	if !quiet {
		o.frame(&workerproto.Next{Text: strings.TrimSuffix(text, "\n") + "\n"})
	}
}

func (o *output) warn(text string) {
	o.line(workerproto.LevelWarn, "\x1b[35;1mwarning:\x1b[0m "+text)
}

// fail tells an error that does not end the operation, as Nix writes one: its further
// lines begin below the text of the first.
func (o *output) fail(text string) {
	first, rest, more := strings.Cut(text, "\n")
	if more {
		for l := range strings.SplitSeq(rest, "\n") {
			first += strings.TrimRight("\n       "+l, " ")
		}
	}
	o.line(workerproto.LevelError, "\x1b[31;1merror:\x1b[0m "+first)
}

// start begins an activity and returns its number.
func (o *output) start(a workerproto.StartActivity) uint64 {
	o.mu.Lock()
	o.lastID++
	a.ID = o.lastID
	o.mu.Unlock()
	o.frame(&a)
	return a.ID
}

func (o *output) stop(id uint64) { o.frame(&workerproto.StopActivity{ID: id}) }

func (o *output) result(id uint64, t workerproto.ResultType, fields ...workerproto.Field) {
	o.frame(&workerproto.Result{Activity: id, Type: t, Fields: fields})
}

// end writes what ends an operation: an error, or the reply.
func (o *output) end(reply workerproto.Reply, failure error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = false
	if o.err != nil {
		return o.err
	}
	if failure != nil {
		o.note(workerproto.WriteFrame(o.w, &workerproto.Error{Level: workerproto.LevelError, Message: failure.Error(), Status: 1}, o.d))
	} else {
		o.note(workerproto.WriteFrame(o.w, &workerproto.Last{}, o.d))
		o.note(workerproto.WriteReply(o.w, reply, o.d))
	}
	o.note(o.w.Flush())
	return o.err
}

// raw writes bytes that follow a reply.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(b)
}

func (o *output) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Flush()
}
