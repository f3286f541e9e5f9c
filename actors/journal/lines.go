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

// line is one step as a line of JSON.
type line struct {
	Seq     uint64           `json:"seq"`
	At      time.Duration    `json:"at"` // nanoseconds since the start
	Actor   messages.Address `json:"actor"`
	Message string           `json:"message"`
	Body    json.RawMessage  `json:"body"`
	State   string           `json:"state"`
	Effects []lineEffect     `json:"effects,omitempty"`
	Panic   string           `json:"panic,omitempty"`
}

// lineEffect is one effect of a step; one of Send, Spawn and Stop is set.
type lineEffect struct {
	Send    messages.Address `json:"send,omitempty"`
	Message string           `json:"message,omitempty"`
	Body    json.RawMessage  `json:"body,omitempty"`
	Spawn   messages.Address `json:"spawn,omitempty"`
	Kind    host.Kind        `json:"kind,omitempty"`
	Stop    messages.Address `json:"stop,omitempty"`
}

// Writer writes a journal as lines of JSON. It may be used from many
// goroutines.
type Writer struct {
	mu  sync.Mutex // guards what follows
	buf *bufio.Writer
	seq uint64
	err error // the first; nothing is written after it
}

// NewWriter starts a journal on w.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	j := &Writer{buf: bufio.NewWriterSize(w, 1<<16)}
	if err := WriteHeader(j.buf, h); err != nil {
		return nil, fmt.Errorf("write journal: %w", err)
	}
	return j, nil
}

// WriteHeader writes the first line.
func WriteHeader(w io.Writer, h Header) error {
	h.Version = linesVersion
	return json.NewEncoder(w).Encode(h)
}

// Record implements [host.Journal].
func (j *Writer) Record(s host.Step) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	text, err := Record{Seq: j.seq, Step: s}.JSON()
	if err != nil && j.err == nil {
		j.err = fmt.Errorf("write journal: %w", err)
	}
	j.writeLine(text)
}

func (j *Writer) writeLine(text []byte) {
	if j.err != nil {
		return
	}
	if _, err := j.buf.Write(append(text, '\n')); err != nil {
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

// JSON is the record as a line of a journal, without its end.
func (r Record) JSON() ([]byte, error) {
	l := line{Seq: r.Seq, At: r.At, Actor: r.Actor, State: r.State, Panic: r.Panic, Message: r.Unknown}
	if r.Message != nil {
		body, err := json.Marshal(r.Message)
		if err != nil {
			return nil, err
		}
		l.Message, l.Body = messages.Name(r.Message), body
	}
	for _, e := range r.Effects {
		le, err := effectLine(e)
		if err != nil {
			return nil, err
		}
		l.Effects = append(l.Effects, le)
	}
	return json.Marshal(l)
}

func effectLine(e host.Effect) (lineEffect, error) {
	switch e := e.(type) {
	case host.Spawn:
		return lineEffect{Spawn: e.Actor, Kind: e.Kind}, nil
	case host.Stop:
		return lineEffect{Stop: e.Actor}, nil
	case host.Send:
		body, err := json.Marshal(e.Msg)
		return lineEffect{Send: e.To, Message: messages.Name(e.Msg), Body: body}, err
	}
	return lineEffect{}, fmt.Errorf("unknown effect %v", e)
}

// parseLine reads a line back.
func parseLine(text []byte) (Record, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return Record{}, err
	}
	r := Record{Seq: l.Seq, Step: host.Step{At: l.At, Actor: l.Actor, State: l.State, Panic: l.Panic}}
	var err error
	if r.Message, err = r.decode(l.Message, l.Body); err != nil {
		return r, err
	}
	for _, le := range l.Effects {
		switch {
		case le.Spawn != "":
			r.Effects = append(r.Effects, host.Spawn{Actor: le.Spawn, Kind: le.Kind})
		case le.Stop != "":
			r.Effects = append(r.Effects, host.Stop{Actor: le.Stop})
		default:
			m, err := r.decode(le.Message, le.Body)
			if err != nil {
				return r, err
			}
			if m != nil {
				r.Effects = append(r.Effects, host.Send{To: le.Send, Msg: m})
			}
		}
	}
	return r, nil
}

// decode gives a message back from its name and body; nil for one that is not
// known, which is noted.
func (r *Record) decode(name string, body json.RawMessage) (messages.Message, error) {
	m := messages.New(name)
	if m == nil {
		r.Unknown = name
		return nil, nil
	}
	if err := json.Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("message %q: %w", name, err)
	}
	return m, nil
}
