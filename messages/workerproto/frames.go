package workerproto

import (
	"fmt"
)

// Frame is what a server says while an operation runs. The types are pointers to
// [Next], [Read], [Write], [StartActivity], [StopActivity], [Result], [Last] and
// [Error].
type Frame interface {
	tag() uint64
	walk(*form)
}

// Next is a line of text, with its newline, which the client shows whatever its
// verbosity is.
type Next struct{ Text string }

// Read asks the client for data, which it answers with one string that is not
// empty. See [NewPull].
type Read struct{ Max uint64 } // bytes

// Write is data for the client. No operation uses it any more.
type Write struct{ Data string }

// Last ends the frames; the reply follows.
type Last struct{}

// Error ends the frames; no reply follows.
type Error struct {
	Level   Level
	Message string
	Traces  []string // from 1.26
	Status  uint64   // an exit code; below 1.26
}

// Error is the text for people, where a client meets the frame.
func (e *Error) Error() string { return e.Message }

// StartActivity, StopActivity and Result are known from 1.20; see [WriteFrame]
// for older clients.
type StartActivity struct {
	ID     uint64
	Level  Level
	Type   ActivityType
	Text   string
	Fields []Field
	Parent uint64 // an ID, or 0
}

type StopActivity struct{ ID uint64 }

type Result struct {
	Activity uint64
	Type     ResultType
	Fields   []Field
}

// Field is a number or a text; [Number] and [Text] make one.
type Field struct {
	IsText bool
	Number uint64
	Text   string
}

// Number is a field with a number.
func Number(n uint64) Field { return Field{Number: n} }

// Text is a field with a text.
func Text(s string) Field { return Field{IsText: true, Text: s} }

const (
	tagNext  = 0x6f6c6d67
	tagRead  = 0x64617461
	tagWrite = 0x64617416
	tagLast  = 0x616c7473
	tagError = 0x63787470
	tagStart = 0x53545254
	tagStop  = 0x53544f50
	tagRes   = 0x52534c54
)

func (*Next) tag() uint64          { return tagNext }
func (*Read) tag() uint64          { return tagRead }
func (*Write) tag() uint64         { return tagWrite }
func (*Last) tag() uint64          { return tagLast }
func (*Error) tag() uint64         { return tagError }
func (*StartActivity) tag() uint64 { return tagStart }
func (*StopActivity) tag() uint64  { return tagStop }
func (*Result) tag() uint64        { return tagRes }

func (m *Next) walk(f *form)         { f.longText("text", &m.Text) }
func (m *Read) walk(f *form)         { f.integer("length", &m.Max) }
func (m *Write) walk(f *form)        { f.longText("data", &m.Data) }
func (m *Last) walk(*form)           {}
func (m *StopActivity) walk(f *form) { f.integer("activity", &m.ID) }

func (m *StartActivity) walk(f *form) {
	f.integer("activity", &m.ID)
	f.level("level", &m.Level)
	f.integer("type", (*uint64)(&m.Type))
	f.longText("text", &m.Text)
	list(f, "fields", &m.Fields, 16, f.field)
	f.integer("parent", &m.Parent)
}

func (m *Result) walk(f *form) {
	f.integer("activity", &m.Activity)
	f.integer("type", (*uint64)(&m.Type))
	list(f, "fields", &m.Fields, 16, f.field)
}

func (f *form) field(name string, v *Field) {
	f.boolean(name, &v.IsText)
	if v.IsText {
		f.longText(name, &v.Text)
	} else {
		f.integer(name, &v.Number)
	}
}

func (m *Error) walk(f *form) {
	if !f.Version.AtLeast(26) {
		f.longText("message", &m.Message)
		f.integer("status", &m.Status)
		return
	}
	kind := "Error"
	if f.shortText("kind", &kind); kind != "Error" {
		f.fail("kind", fmt.Errorf("'%s' instead of 'Error'", shown(kind)))
	}
	f.level("level", &m.Level)
	f.shortText("name", &kind) // ignored
	f.longText("message", &m.Message)
	f.noPosition()
	list(f, "traces", &m.Traces, 16, func(field string, trace *string) {
		f.noPosition()
		f.longText(field, trace)
	})
}

// noPosition is where a position in a file could be, and never is.
func (f *form) noPosition() {
	n := uint64(0)
	if f.integer("position", &n); n != 0 {
		f.fail("position", fmt.Errorf("%d instead of 0", n))
	}
}

// WriteFrame writes a frame. Below 1.20 an activity that starts is a line of
// text, and the rest of it is not said.
func WriteFrame(w *Writer, m Frame, d Dialect) error {
	if !d.Version.AtLeast(20) {
		switch a := m.(type) {
		case *StartActivity:
			if a.Text == "" {
				return nil
			}
			m = &Next{a.Text + "...\n"}
		case *StopActivity, *Result:
			return nil
		}
	}
	w.Int(m.tag())
	return write(w, d, m, m.walk)
}

// ReadFrame reads a frame.
func ReadFrame(r *Reader, d Dialect) (Frame, error) {
	r.Begin()
	tag, err := r.Int()
	if err != nil {
		return nil, &DecodeError{Message: "frame", Err: err}
	}
	m := newFrame(tag)
	if m == nil {
		return nil, &DecodeError{Message: "frame", Field: "tag", Err: fmt.Errorf("%#x is not known", tag)}
	}
	if err := read(r, d, m, m.walk); err != nil {
		return nil, err
	}
	return m, nil
}

func newFrame(tag uint64) Frame {
	for _, m := range []Frame{new(Next), new(Read), new(Write), new(Last), new(Error), new(StartActivity), new(StopActivity), new(Result)} {
		if m.tag() == tag {
			return m
		}
	}
	return nil
}
