package workerproto

import (
	"fmt"
	"io"
)

// Framed reads a stream in frames: a length and that many bytes, as often as
// there are some, and a length of 0.
type Framed struct {
	r    *Reader
	left uint64 // bytes of this frame
	end  error  // what there is instead of another one
}

// NewFramed reads the frames that come next.
func NewFramed(r *Reader) *Framed { return &Framed{r: r} }

// Read gives bytes of the stream. At its end the error is io.EOF, and where the
// connection ends before it a [*DecodeError].
func (s *Framed) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if s.left == 0 && s.end == nil {
		s.next()
	}
	if s.end != nil {
		return 0, s.end
	}
	n, err := s.r.Read(b[:min(uint64(len(b)), s.left)])
	s.left -= uint64(n)
	if err != nil {
		s.end = &DecodeError{Message: "framed stream", Err: cut(err)}
		return n, s.end
	}
	return n, nil
}

func (s *Framed) next() {
	n, err := s.r.word()
	switch {
	case err != nil:
		s.end = &DecodeError{Message: "framed stream", Err: cut(err)}
	case n == 0:
		s.end = io.EOF
	default:
		s.left = n
	}
}

// Drain skips the rest of the stream. It must be read to its end before the next
// operation, also where the operation failed.
func (s *Framed) Drain() error {
	_, err := io.Copy(io.Discard, s)
	return err
}

// FramedWriter writes a stream in frames, one for each Write.
type FramedWriter struct{ w *Writer }

// NewFramedWriter begins a stream, which Close ends.
func NewFramedWriter(w *Writer) FramedWriter { return FramedWriter{w} }

func (s FramedWriter) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil // a frame of no bytes would be the end
	}
	s.w.Int(uint64(len(b)))
	return s.w.Write(b)
}

// Close writes the end, and flushes.
func (s FramedWriter) Close() error {
	s.w.Int(0)
	return s.w.Flush()
}

// pullSize is how many bytes are asked for at a time.
const pullSize = 1 << 15

// Pull reads a stream that the client gives piece by piece, when it is asked by
// a [Read] frame. Where it ends is in the stream itself.
type Pull struct {
	r    *Reader
	w    *Writer
	left string // of the piece that was got
}

// NewPull reads from the client at the other end of r and w.
func NewPull(r *Reader, w *Writer) *Pull { return &Pull{r: r, w: w} }

func (s *Pull) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if s.left == "" {
		if err := s.ask(); err != nil {
			return 0, err
		}
	}
	n := copy(b, s.left)
	s.left = s.left[n:]
	return n, nil
}

func (s *Pull) ask() (err error) {
	s.w.Int(tagRead)
	s.w.Int(pullSize)
	if err := s.w.Flush(); err != nil {
		return err
	}
	s.r.Begin()
	if s.left, err = s.r.String(pullSize); err == nil && s.left == "" {
		err = fmt.Errorf("the client has no more data: %w", io.ErrUnexpectedEOF)
	}
	if err != nil {
		return &DecodeError{Message: "pulled stream", Err: err}
	}
	return nil
}
