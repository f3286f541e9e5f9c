// Package beside hashes a stream without holding it up: a goroutine beside that of the
// stream is handed full buffers, and hands them back. Nothing is copied for it. What is
// small is hashed where it comes.
package beside

import (
	"io"
	"sync"
)

// Writer gives what is written to it to two writers: to near at once, and to far when far
// can take it, in the same order. One goroutine uses it, and closes it, also after an
// error.
type Writer struct {
	near io.Writer // nil for none
	far  io.Writer
	size uint64 // bytes of all that came

	current []byte  // what far is to be given next, in a buffer with room for more; nil for none
	own     *[]byte // of buffers: is current where there is no line
	alone   int     // bytes that far was given since a line was last wished for
	line    *line   // nil: far is written to by who writes
}

// NewWriter begins a stream. Near may be nil. Far does not fail, as hashes do not; it is
// left alone until the stream is closed.
func NewWriter(near, far io.Writer) *Writer { return &Writer{near: near, far: far} }

// buffers are kept for the next stream: most are small.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, bufferSize); return &b }}

const (
	bufferSize = 128 << 10 // bytes
	// aloneSize is how many bytes of a stream are not worth a goroutine: they are hashed
	// within a millisecond.
	aloneSize = 1 << 20
)

// Size is how many bytes were written.
func (w *Writer) Size() uint64 { return w.size }

// Write implements [io.Writer]; it fails as near does. What it is given is copied, but
// for large pieces at the beginning.
func (w *Writer) Write(b []byte) (int, error) {
	if err := w.see(b); err != nil {
		return 0, err
	}
	if w.line == nil && len(w.current) == 0 && len(b) >= bufferSize {
		w.far.Write(b)
		w.went(len(b))
		return len(b), nil
	}
	for left := b; len(left) > 0; {
		room := w.room()
		n := copy(room[len(room):cap(room)], left)
		w.current, left = room[:len(room)+n], left[n:]
		if len(w.current) == cap(w.current) {
			w.pass()
		}
	}
	return len(b), nil
}

// Give is Write of a whole buffer that is not copied, for streams of which all is given.
// It returns the buffer to be filled and given next: the same one or, once much has come,
// another, which is the caller's until he gives it.
func (w *Writer) Give(full []byte) (empty []byte, err error) {
	if err := w.see(full); err != nil {
		return full[:0], err
	}
	if w.line != nil {
		w.current = full
		w.pass()
		return w.room(), nil
	}
	w.far.Write(full)
	if w.went(len(full)); w.line != nil {
		return w.room(), nil
	}
	return full[:0], nil
}

// see counts what comes, and has near see it.
func (w *Writer) see(b []byte) error {
	w.size += uint64(len(b))
	if w.near == nil {
		return nil
	}
	_, err := w.near.Write(b)
	return err
}

// room is the current buffer, or an empty one.
func (w *Writer) room() []byte {
	switch {
	case w.current != nil:
	case w.line != nil:
		w.current = w.line.take()
	default:
		if w.own == nil {
			w.own = buffers.Get().(*[]byte)
		}
		w.current = (*w.own)[:0]
	}
	return w.current
}

// pass has far take the current buffer.
func (w *Writer) pass() {
	b := w.current
	if len(b) == 0 {
		return
	}
	w.current = nil
	if w.line != nil {
		w.line.full <- b
		return
	}
	w.far.Write(b)
	w.went(len(b))
}

// went counts what far has taken without a line; much of it is worth one.
func (w *Writer) went(n int) {
	if w.alone += n; w.alone >= aloneSize {
		w.alone, w.line = 0, begin(w.far)
	}
}

// Close waits until far has all that came. What was given back is nobody's any more.
func (w *Writer) Close() {
	w.pass()
	if w.line != nil {
		w.line.end(w.current)
		w.line = nil
	}
	if w.own != nil {
		buffers.Put(w.own)
		w.own = nil
	}
	w.current = nil
}
