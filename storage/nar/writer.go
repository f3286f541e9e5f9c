package nar

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"troupe/storage/pace"
)

// Writer writes an archive piece by piece; it is a [Sink]. The top has the empty name.
// The order of the names is the caller's to see to, and so is what they may be. After
// an error nothing is written any more.
type Writer struct {
	w     io.Writer
	taker taker   // w, where it is one
	buf   []byte  // not yet written; its capacity is the whole buffer
	kept  *[]byte // of [buffers]
	depth int     // directories that are open
	err   error
	pace  pace.Pace
}

// taker takes whole buffers, and gives others to be filled next.
type taker interface {
	Give(full []byte) (empty []byte, err error)
}

// buffers are kept for the next: many a dump is of a small file.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, bufferSize)
	return &b
}}

// bufferSize is how much is written at a time.
const bufferSize = 1 << 17

// NewWriter begins an archive, which [Writer.Close] ends.
func NewWriter(w io.Writer) *Writer {
	kept := buffers.Get().(*[]byte)
	a := &Writer{w: w, kept: kept, buf: (*kept)[:0]}
	a.taker, _ = w.(taker)
	a.string(magic)
	return a
}

// Close writes what is left, and says what went wrong.
func (a *Writer) Close() error {
	a.flush()
	buffers.Put(a.kept)
	a.kept, a.buf = nil, nil
	return a.err
}

// begin begins a file of any kind, and end ends it.
func (a *Writer) begin(name, kind string) {
	if a.depth > 0 {
		a.string("entry")
		a.string("(")
		a.string("name")
		a.string(name)
		a.string("node")
	}
	a.string("(")
	a.string("type")
	a.string(kind)
}

func (a *Writer) end() error {
	a.string(")")
	if a.depth > 0 {
		a.string(")")
	}
	return a.err
}

// Directory implements [Sink].
func (a *Writer) Directory(name string) error {
	a.begin(name, "directory")
	a.depth++
	return a.err
}

// Up implements [Sink].
func (a *Writer) Up() error {
	a.depth--
	return a.end()
}

// Symlink implements [Sink].
func (a *Writer) Symlink(name, target string) error {
	a.begin(name, "symlink")
	a.string("target")
	a.string(target)
	return a.end()
}

// File implements [Sink]; contents are read straight into the buffer, as far as size.
func (a *Writer) File(name string, executable bool, size uint64, contents io.Reader) error {
	a.begin(name, "regular")
	if executable {
		a.string("executable")
		a.string("")
	}
	a.string("contents")
	a.integer(size)
	for left := size; left > 0 && a.err == nil; {
		a.pace.Step()
		room := a.room()
		n, err := contents.Read(room[:min(uint64(len(room)), left)])
		a.buf = a.buf[:len(a.buf)+n]
		if left -= uint64(n); left == 0 {
			break
		}
		if err == io.EOF {
			err = fmt.Errorf("%d bytes of a file are missing: %w", left, io.ErrUnexpectedEOF)
		}
		if err != nil {
			a.err = err
		}
	}
	a.pad(size)
	return a.end()
}

// room is what is free of the buffer, which is never nothing.
func (a *Writer) room() []byte {
	if len(a.buf) == cap(a.buf) {
		a.flush()
	}
	return a.buf[len(a.buf):cap(a.buf)]
}

func (a *Writer) string(s string) {
	size := uint64(len(s))
	a.integer(size)
	for len(s) > 0 {
		n := copy(a.room(), s)
		a.buf = a.buf[:len(a.buf)+n]
		s = s[n:]
	}
	a.pad(size)
}

// pad fills up to a multiple of eight bytes.
func (a *Writer) pad(size uint64) {
	n := int(-size & 7)
	if cap(a.buf)-len(a.buf) < n {
		a.flush()
	}
	a.buf = append(a.buf, "\x00\x00\x00\x00\x00\x00\x00"[:n]...)
}

func (a *Writer) integer(n uint64) {
	if cap(a.buf)-len(a.buf) < 8 {
		a.flush()
	}
	a.buf = binary.LittleEndian.AppendUint64(a.buf, n)
}

func (a *Writer) flush() {
	if a.err == nil && a.taker != nil {
		a.buf, a.err = a.taker.Give(a.buf)
		return
	}
	if a.err == nil {
		_, a.err = a.w.Write(a.buf)
	}
	a.buf = a.buf[:0]
}
