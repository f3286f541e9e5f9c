package nar

import (
	"errors"
	"io"
)

// contents reads one file's bytes from the archive.
type contents struct {
	p    *parser
	left uint64
}

func (c *contents) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.p.r.Read(b[:min(uint64(len(b)), c.left)])
	return n, c.came(n, err)
}

// came notes what was read, and says that the archive ends too early.
func (c *contents) came(n int, err error) error {
	c.left -= uint64(n)
	c.p.at += uint64(n)
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if c.left > 0 {
		return c.p.bad("it is cut short")
	}
	return nil
}

// lender reads at most so many bytes, and less than a whole buffer of its own only where
// there are no more. They are there until it reads on.
type lender interface {
	Next(most uint64) ([]byte, error)
}

// lendSize is in bytes: smaller files are copied, together with what is between them.
const lendSize = 1 << 20

// WriteTo implements [io.WriterTo]. It writes pieces that are large, and begin where pages
// do: what came over a socket came in smaller ones, and to touch a page twice costs as much
// as to copy it.
func (c *contents) WriteTo(w io.Writer) (written int64, err error) {
	next := c.fill
	if l, ok := c.p.r.(lender); ok && c.left >= lendSize {
		next = l.Next
	}
	for c.left > 0 {
		b, err := next(c.left)
		if err := c.came(len(b), err); err != nil {
			return written, err
		}
		n, err := w.Write(b)
		if written += int64(n); err != nil {
			return written, err
		}
	}
	return written, nil
}

// fill is a lender's Next, by a buffer of the parser.
func (c *contents) fill(most uint64) ([]byte, error) {
	if c.p.copy == nil {
		c.p.copy = buffers.Get().(*[]byte)
	}
	b := (*c.p.copy)[:min(bufferSize, most)]
	n, err := io.ReadFull(c.p.r, b)
	return b[:n], err
}
