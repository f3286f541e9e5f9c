package sessions

import (
	"bufio"
	"io"

	"troupe/messages/workerproto"
)

// body is the stream that follows a request.
type body struct {
	io.Reader // nil where there is none
	framed    *workerproto.Framed
	aligned   bool // where it ends is known even if it is not read to its end
}

// bodyBuffer is in bytes.
const bodyBuffer = 64 << 10

// body is what follows a request's arguments.
func (c *connection) body(q workerproto.Request) *body {
	switch q.Stream(c.d) {
	case workerproto.StreamFramed:
		f := workerproto.NewFramed(c.r)
		// Archives are read eight bytes at a time in many places.
		return &body{Reader: bufio.NewReaderSize(f, bodyBuffer), framed: f, aligned: true}
	case workerproto.StreamPull:
		return &body{Reader: workerproto.NewPull(c.r, c.out.w)}
	case workerproto.StreamNAR:
		return &body{Reader: c.r}
	}
	return &body{aligned: true}
}

// finish skips what was not read. The error is that nobody knows where the next
// request begins.
func (b *body) finish(failure error) error {
	if b.framed != nil {
		return b.framed.Drain()
	}
	if failure != nil && !b.aligned {
		return failure
	}
	return nil
}
