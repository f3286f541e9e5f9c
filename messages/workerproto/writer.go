package workerproto

import (
	"encoding/binary"
	"io"
)

// Writer writes the primitives of the protocol into a buffer, and that to a
// stream. An error sticks: later calls do nothing, and [Writer.Flush] tells it.
//
// Between messages, once flushed, a writer holds half a kilobyte.
type Writer struct {
	dst   io.Writer
	n     int // bytes that wait in the buffer
	err   error
	large *[]byte // borrowed, or nil
	small [smallSize]byte
}

// NewWriter writes to dst.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

func (w *Writer) buffer() []byte {
	if w.large != nil {
		return *w.large
	}
	return w.small[:]
}

// Flush writes out what is buffered.
func (w *Writer) Flush() error {
	w.spill()
	if w.large != nil {
		buffers.Put(w.large)
		w.large = nil
	}
	return w.err
}

// spill empties the buffer and keeps it.
func (w *Writer) spill() {
	if w.n > 0 && w.err == nil {
		_, w.err = w.dst.Write(w.buffer()[:w.n])
	}
	w.n = 0
}

// grow makes room in a buffer that is full.
func (w *Writer) grow() {
	if w.large == nil {
		w.large = buffers.Get().(*[]byte)
		copy(*w.large, w.small[:w.n])
		return
	}
	w.spill()
}

// Write writes raw bytes.
func (w *Writer) Write(b []byte) (int, error) {
	whole := len(b)
	for len(b) > 0 && w.err == nil {
		if w.n == 0 && len(b) >= largeSize {
			_, w.err = w.dst.Write(b)
			break
		}
		n := copy(w.buffer()[w.n:], b)
		w.n += n
		if b = b[n:]; len(b) > 0 {
			w.grow()
		}
	}
	if w.err != nil {
		return 0, w.err
	}
	return whole, nil
}

// Int writes an integer.
func (w *Writer) Int(n uint64) {
	if len(w.buffer())-w.n < 8 {
		w.grow()
	}
	binary.LittleEndian.PutUint64(w.buffer()[w.n:], n)
	w.n += 8
}

// Bool writes 0 or 1.
func (w *Writer) Bool(b bool) {
	if b {
		w.Int(1)
	} else {
		w.Int(0)
	}
}

// String writes a string.
func (w *Writer) String(s string) {
	n := len(s)
	w.Int(uint64(n))
	for len(s) > 0 && w.err == nil {
		part := copy(w.buffer()[w.n:], s)
		w.n += part
		if s = s[part:]; len(s) > 0 {
			w.grow()
		}
	}
	w.pad(n)
}

// pad fills up a string of n bytes to a multiple of eight.
func (w *Writer) pad(n int) {
	var zeros [8]byte
	w.Write(zeros[:-n&7]) // the error sticks
}
