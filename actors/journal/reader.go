package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"troupe/messages"
)

// Reader reads a journal.
type Reader struct {
	Header Header
	in     *bufio.Reader
	line   int
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	j := &Reader{in: bufio.NewReaderSize(r, 1<<16)}
	line, err := j.next()
	if err != nil {
		return nil, fmt.Errorf("read journal: line 1: %w", err)
	}
	if err := json.Unmarshal(line, &j.Header); err != nil || j.Header.Version == 0 {
		return nil, fmt.Errorf("read journal: line 1: not a journal")
	}
	if j.Header.Version > Version {
		return nil, fmt.Errorf("read journal: line 1: format %d is newer than this program's %d", j.Header.Version, Version)
	}
	return j, nil
}

// Next reads one record; at the end it returns [io.EOF]. A journal that a crash
// cut short ends with an error that says so.
func (j *Reader) Next() (Record, error) {
	var r Record
	line, err := j.next()
	if err == io.EOF {
		return r, err
	}
	if err != nil {
		return r, fmt.Errorf("read journal: line %d: %w", j.line, err)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf("read journal: line %d: %w", j.line, err)
	}
	return r, nil
}

func (j *Reader) next() ([]byte, error) {
	line, err := j.in.ReadBytes('\n')
	j.line++
	if err == io.EOF && len(line) > 0 {
		return nil, fmt.Errorf("cut short")
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line, []byte{'\n'}), nil
}

// Decode gives a message back from its name and body.
func Decode(name string, body json.RawMessage) (messages.Message, error) {
	m := messages.New(name)
	if m == nil {
		return nil, fmt.Errorf("decode message %q: no such message", name)
	}
	if err := json.Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("decode message %q: %w", name, err)
	}
	return m, nil
}

// Format renders a record for people:
//
//	SECONDS ACTOR <- MESSAGE [STATE] => EFFECT; EFFECT …
func (r Record) Format() (string, error) {
	m, err := Decode(r.Message, r.Body)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%.6f %s <- %v [%s]", r.At.Seconds(), r.Actor, m, r.State)
	for i, e := range r.Effects {
		sep := "; "
		if i == 0 {
			sep = " => "
		}
		text, err := e.format()
		if err != nil {
			return "", err
		}
		b.WriteString(sep + text)
	}
	if r.Panic != "" {
		fmt.Fprintf(&b, " PANIC %q", r.Panic)
	}
	return b.String(), nil
}

func (e Effect) format() (string, error) {
	switch {
	case e.Spawn != "":
		return fmt.Sprintf("spawn %s %s", e.Kind, e.Spawn), nil
	case e.Stop != "":
		return fmt.Sprintf("stop %s", e.Stop), nil
	}
	m, err := Decode(e.Message, e.Body)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("-> %s %v", e.Send, m), nil
}
