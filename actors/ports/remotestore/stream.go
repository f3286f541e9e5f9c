package remotestore

import (
	"errors"
	"io"

	"troupe/messages/workerproto"
)

// sourceError is that what was to be sent could not be read.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }

// push writes what follows a request, in frames or as it is. Who cannot go on can
// only hang up: the protocol has no word for it.
func (c *Conn) push(how workerproto.Stream, stream func(io.Writer) error) error {
	to, end := io.Writer(c.w), c.w.Flush
	if how == workerproto.StreamFramed {
		framed := workerproto.NewFramedWriter(c.w)
		to, end = framed, framed.Close
	}
	out := &noting{w: to}
	if err := stream(out); err != nil {
		c.Close()
		if out.err == nil {
			return &sourceError{err}
		}
		return err
	}
	return end()
}

// noting remembers the first error of a writer.
type noting struct {
	w   io.Writer
	err error
}

func (n *noting) Write(b []byte) (int, error) {
	done, err := n.w.Write(b)
	if n.err == nil {
		n.err = err
	}
	return done, err
}

// pulled gives what follows a request piece by piece, as a store before 1.23 asks
// for it.
func (c *Conn) pulled(stream func(io.Writer) error) error {
	from, to := io.Pipe()
	go func() { to.CloseWithError(stream(to)) }()
	err := c.frames(from)
	from.CloseWithError(errors.New("nobody wants it any more"))
	return err
}

// pieceSize is how much is given at a time, in bytes.
const pieceSize = 64 << 10

// give answers a store that asks for some bytes.
func (c *Conn) give(from io.Reader, most uint64) error {
	if from == nil {
		return c.Lost(errors.New("it asks for data that there is not"))
	}
	piece := make([]byte, min(most, pieceSize))
	n, err := io.ReadAtLeast(from, piece, 1)
	if err != nil {
		c.Close()
		return err
	}
	c.w.String(string(piece[:n]))
	if err := c.w.Flush(); err != nil {
		return c.Lost(err)
	}
	return nil
}
