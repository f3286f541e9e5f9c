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

// bodyBuffer is in bytes. Archives are read eight bytes at a time in many places.
const bodyBuffer = 64 << 10

// bodyReaders are kept for the next request: most of what is added is small.
var bodyReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bodyBuffer) }}

// body is what follows a request's arguments.
func (c *connection) body(q workerproto.Request) *body {
	switch q.Stream(c.d) {
	case workerproto.StreamFramed:
		f := workerproto.NewFramed(c.r)
		buffered := bodyReaders.Get().(*bufio.Reader)
		buffered.Reset(f)
		return &body{Reader: buffered, framed: f, aligned: true}
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
		buffered := b.Reader.(*bufio.Reader)
		b.Reader = nil
		buffered.Reset(nil)
		bodyReaders.Put(buffered)
		return b.framed.Drain()
	}
	if failure != nil && !b.aligned {
		return failure
	}
	return nil
}
