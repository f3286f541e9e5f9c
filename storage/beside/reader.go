package beside

import (
	"cmp"
	"io"
	"math"
)

// Reader gives what is read through it to a [Writer].
type Reader struct {
	from io.Reader
	to   *Writer
}

// NewReader begins a stream, which far is given as well; see [NewWriter].
func NewReader(from io.Reader, far io.Writer) *Reader { return &Reader{from, NewWriter(nil, far)} }

// Size is how many bytes were read.
func (r *Reader) Size() uint64 { return r.to.Size() }

// Close is [Writer.Close].
func (r *Reader) Close() { r.to.Close() }

// Read implements [io.Reader], for small reads.
func (r *Reader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.to.Write(b[:n]) // which fails as near does, that is not there
	return n, err
}

// Next reads at most so many bytes, and less than a whole buffer only where there are no
// more. They are not copied: until he reads on or closes they are the caller's to look at.
// At the end of the stream the error is [io.EOF].
func (r *Reader) Next(most uint64) ([]byte, error) {
	r.to.pass()
	room := r.to.room()
	n, err := io.ReadFull(r.from, room[:min(uint64(cap(room)), most)])
	if err == io.ErrUnexpectedEOF {
		err = nil
	}
	r.to.see(room[:n])
	r.to.current = room[:n]
	r.to.pass()
	return room[:n], err
}

// WriteTo implements [io.WriterTo], by whole buffers.
func (r *Reader) WriteTo(w io.Writer) (written int64, err error) {
	for {
		b, err := r.Next(math.MaxUint64)
		if err == io.EOF {
			return written, nil
		}
		n, werr := w.Write(b)
		if written += int64(n); err != nil || werr != nil {
			return written, cmp.Or(err, werr)
		}
	}
}

// Copy gives a hash, which does not fail, all that there is to read.
func Copy(h io.Writer, from io.Reader) error {
	r := NewReader(from, h)
	defer r.Close()
	_, err := r.WriteTo(io.Discard)
	return err
}
