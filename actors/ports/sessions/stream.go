package sessions

import (
	"bufio"
	"io"
	"sync"

	"troupe/messages/workerproto"
)

// body is the stream that follows a request.
type body struct {
	io.Reader // nil where there is none
	framed    *workerproto.Framed
	aligned   bool // where it ends is known even if it is not read to its end
}

// readBuffer is in bytes. Archives are read eight bytes at a time in many places.
const readBuffer = 64 << 10

// readers are kept for the next request and the next log: most of what is added is
// small, and most builders say little.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readBuffer) }}

// buffered reads r until it is given back; nobody reads any more then.
func buffered(r io.Reader) *bufio.Reader {
	b := readers.Get().(*bufio.Reader)
	b.Reset(r)
	return b
}

func giveBack(b *bufio.Reader) {
	b.Reset(nil)
	readers.Put(b)
}

// body is what follows a request's arguments.
func (c *connection) body(q workerproto.Request) *body {
	switch q.Stream(c.d) {
	case workerproto.StreamFramed:
		f := workerproto.NewFramed(c.r)
		return &body{Reader: buffered(f), framed: f, aligned: true}
	case workerproto.StreamPull:
		return &body{Reader: workerproto.NewPull(c.r, c.out.w)}
	case workerproto.StreamNAR:
		return &body{Reader: c.r}
	}
	return &body{aligned: true}
}

// finish skips what was not read; nobody reads any more. The error is that nobody
// knows where the next request begins.
func (b *body) finish(failure error) error {
	if b.framed != nil {
		giveBack(b.Reader.(*bufio.Reader))
		b.Reader = nil
		return b.framed.Drain()
	}
	if failure != nil && !b.aligned {
		return failure
	}
	return nil
}
