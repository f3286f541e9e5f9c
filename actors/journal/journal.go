// Package journal is the readable record of what machines did: one step a
// line, as JSON, after a line that says which format and which settings.
package journal

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"troupe/actors/host"
	"troupe/messages"
)

// Version is the format's number.
const Version = 1

// Header is the first line of a journal.
type Header struct {
	Version  int               `json:"troupe-journal"`
	Started  time.Time         `json:"started"`
	Settings map[string]string `json:"settings,omitempty"`
}

// Record is one line: one message that one machine took.
type Record struct {
	Seq     uint64           `json:"seq"`
	At      time.Duration    `json:"at"` // nanoseconds since the start
	Actor   messages.Address `json:"actor"`
	Message string           `json:"message"`
	Body    json.RawMessage  `json:"body"`
	State   string           `json:"state"`
	Effects []Effect         `json:"effects,omitempty"`
	Panic   string           `json:"panic,omitempty"`
}

// Effect is one effect of a step; one of Send, Spawn and Stop is set.
type Effect struct {
	Send    messages.Address `json:"send,omitempty"`
	Message string           `json:"message,omitempty"`
	Body    json.RawMessage  `json:"body,omitempty"`
	Spawn   messages.Address `json:"spawn,omitempty"`
	Kind    host.Kind        `json:"kind,omitempty"`
	Stop    messages.Address `json:"stop,omitempty"`
}

// Writer writes a journal. It may be used from many goroutines.
type Writer struct {
	mu  sync.Mutex // guards what follows
	buf *bufio.Writer
	seq uint64
	err error // the first; nothing is written after it
}

// NewWriter starts a journal on w.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Version = Version
	j := &Writer{buf: bufio.NewWriterSize(w, 1<<16)}
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("write journal: %w", err)
	}
	j.writeLine(line)
	return j, j.err
}

// Record implements [host.Journal].
func (j *Writer) Record(s host.Step) {
	r := Record{At: s.At, Actor: s.Actor, Message: messages.Name(s.Message), State: s.State, Panic: s.Panic}
	var err error
	if r.Body, err = json.Marshal(s.Message); err == nil {
		r.Effects, err = encode(s.Effects)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	r.Seq = j.seq
	line, lerr := json.Marshal(r)
	if err == nil {
		err = lerr
	}
	if err != nil && j.err == nil {
		j.err = fmt.Errorf("write journal: %w", err)
	}
	j.writeLine(line)
}

func (j *Writer) writeLine(line []byte) {
	if j.err != nil {
		return
	}
	if _, err := j.buf.Write(append(line, '\n')); err != nil {
		j.err = fmt.Errorf("write journal: %w", err)
	}
}

// Close writes out what is buffered, and reports the first error of all.
func (j *Writer) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.buf.Flush(); err != nil && j.err == nil {
		j.err = fmt.Errorf("write journal: %w", err)
	}
	return j.err
}

func encode(effects []host.Effect) ([]Effect, error) {
	out := make([]Effect, len(effects))
	for i, e := range effects {
		switch e := e.(type) {
		case host.Send:
			body, err := json.Marshal(e.Msg)
			if err != nil {
				return nil, err
			}
			out[i] = Effect{Send: e.To, Message: messages.Name(e.Msg), Body: body}
		case host.Spawn:
			out[i] = Effect{Spawn: e.Actor, Kind: e.Kind}
		case host.Stop:
			out[i] = Effect{Stop: e.Actor}
		}
	}
	return out, nil
}
