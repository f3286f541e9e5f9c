package binarycache

import (
	"bytes"
	"errors"
	"io"
	"runtime"
)

// chunkSize is what one processor packs at a time, in bytes; twice that and the packer's window are held for each.
const chunkSize = 4 << 20

// parallel packs in chunks, on all processors, each into a stream of its own: who unpacks takes one after the other as
// the same file. One goroutine writes and closes it.
type parallel struct {
	out     io.Writer
	pack    func(io.Writer) (io.WriteCloser, error)
	chunk   []byte
	started []chan packed // of chunks that are under way, in order
	any     bool
	err     error // sticky
}

type packed struct {
	bytes bytes.Buffer
	err   error
}

func (p *parallel) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 && p.err == nil {
		n := min(len(b), chunkSize-len(p.chunk))
		p.chunk = append(p.chunk, b[:n]...)
		b, written = b[n:], written+n
		if len(p.chunk) == chunkSize {
			p.start()
		}
	}
	return written, p.err
}

// start packs the chunk, once fewer than there are processors are under way.
func (p *parallel) start() {
	if len(p.started) == runtime.GOMAXPROCS(0) {
		p.finish()
	}
	chunk, done := p.chunk, make(chan packed, 1)
	p.chunk, p.any = nil, true
	p.started = append(p.started, done)
	go func() {
		var r packed
		w, err := p.pack(&r.bytes)
		if err == nil {
			_, err = w.Write(chunk)
			err = errors.Join(err, w.Close())
		}
		r.err = err
		done <- r
	}()
}

// finish writes the first of the chunks that are under way.
func (p *parallel) finish() {
	r := <-p.started[0]
	p.started = p.started[1:]
	if p.err == nil {
		p.err = r.err
	}
	if p.err == nil {
		_, p.err = p.out.Write(r.bytes.Bytes())
	}
}

// Close waits for all, also where something failed.
func (p *parallel) Close() error {
	if len(p.chunk) > 0 || !p.any { // nothing is a stream too
		p.start()
	}
	for len(p.started) > 0 {
		p.finish()
	}
	return p.err
}
