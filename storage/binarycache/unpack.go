package binarycache

import (
	"bufio"
	"compress/bzip2"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// maxWindow bounds, in bytes, what a packed stream can make us hold: what "zstd --long" and "xz -9" ask for.
const maxWindow = 128 << 20

// unpackers keeps what has unpacked for its next use: an xz reader has its window of 8 MiB, which costs more to make
// than a small NAR to unpack. The collector takes what is idle.
type unpackers struct {
	buffers, xz, zstd, gzip, br sync.Pool
}

// reused is a stream whose Close puts things back.
type reused struct {
	io.Reader
	back func()
}

func (r *reused) Close() error {
	if r.back != nil {
		r.back()
		r.back = nil
	}
	return nil
}

// resetter is a reader that can begin anew.
type resetter interface {
	io.Reader
	Reset(io.Reader) error
}

// reuse takes a reader of a pool, or makes one.
func reuse(pool *sync.Pool, from io.Reader, make func(io.Reader) (resetter, error)) (*reused, error) {
	r, ok := pool.Get().(resetter)
	var err error
	if ok {
		err = r.Reset(from)
	} else {
		r, err = make(from)
	}
	if err != nil {
		return nil, err
	}
	return &reused{r, func() { pool.Put(r) }}, nil
}

// buffer is a bufio.Reader on r; done puts it back.
func (u *unpackers) buffer(r io.Reader) (buffered *bufio.Reader, done func()) {
	buffered, ok := u.buffers.Get().(*bufio.Reader)
	if ok {
		buffered.Reset(r)
	} else {
		buffered = bufio.NewReaderSize(r, 1<<16)
	}
	return buffered, func() { buffered.Reset(nil); u.buffers.Put(buffered) }
}

// unpack undoes a compression, by its name in a narinfo. Closing the stream does not close r.
func (u *unpackers) unpack(ctx context.Context, method string, r io.Reader) (io.ReadCloser, error) {
	if method == "none" || method == "" {
		return io.NopCloser(r), nil
	}
	if argv, ok := programs[method]; ok {
		return runUnpacker(ctx, argv, r)
	}
	buffered, done := u.buffer(r)
	stream, err := u.decoder(method, buffered)
	if err != nil {
		done()
		return nil, err
	}
	back := stream.back
	stream.back = func() { back(); done() }
	return stream, nil
}

func (u *unpackers) decoder(method string, r io.Reader) (*reused, error) {
	switch method {
	case "xz":
		return reuse(&u.xz, r, func(r io.Reader) (resetter, error) { return xz.NewReader(r, maxWindow) })
	case "zstd":
		return reuse(&u.zstd, r, func(r io.Reader) (resetter, error) {
			return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		})
	case "bzip2":
		return &reused{bzip2.NewReader(r), func() {}}, nil
	case "gzip":
		return reuse(&u.gzip, r, func(r io.Reader) (resetter, error) { return gzip.NewReader(r) })
	case "br":
		return reuse(&u.br, r, func(r io.Reader) (resetter, error) { return brotli.NewReader(r), nil })
	}
	return nil, fmt.Errorf("unknown compression method '%.40s'", method)
}
