package binarycache

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"

	"troupe/storage/narinfo"
	"troupe/storage/nixhash"
)

// raw is the packed NAR. Where the network fails it goes on from there, as often as requests are tried; a MiB of
// progress makes it a new request.
type raw struct {
	ctx      context.Context
	c        *Cache
	info     narinfo.Info
	limit    int64        // bytes that may come
	want     nixhash.Hash // zero where nothing was promised
	hash     hash.Hash    // nil with it
	received atomic.Int64

	body   *content
	ticket Ticket
	told   bool // the breaker knows how the ticket's request went
	failed uint // attempts since mark
	mark   int64
	err    error // sticky
}

const progress = 1 << 20

func newRaw(ctx context.Context, c *Cache, info narinfo.Info, want nixhash.Hash) *raw {
	r := &raw{ctx: ctx, c: c, info: info, limit: int64(info.FileSize), want: want}
	if info.FileSize == 0 { // no packing makes it much larger
		r.limit = int64(min(info.NarSize, 1<<61))*2 + progress
	}
	if !want.IsZero() {
		r.hash = want.Algorithm().New()
	}
	return r
}

// connect asks for what is not there yet.
func (r *raw) connect() error {
	for {
		err := r.try()
		if err == nil {
			return nil
		}
		if err := r.again(err); err != nil {
			return err
		}
	}
}

// again waits after a failure, or says that it is final.
func (r *raw) again(err error) error {
	r.tell(healthOf(r.ctx, err))
	r.failed++
	switch {
	case r.ctx.Err() != nil:
		err = context.Cause(r.ctx)
	case errors.Is(err, errAbsent):
		r.c.forget(narinfo.FileName(r.info.Path))
		err = r.c.explain(download, r.info.URL, err)
	case classOf(err) != Transient || r.failed >= r.c.pool.settings.Attempts || r.c.Status().State == Open:
		err = r.c.explain(download, r.info.URL, err)
	default:
		if err = r.c.pause(r.ctx, r.failed, err); err == nil {
			return nil
		}
	}
	r.err = err
	return err
}

func (r *raw) tell(h health) {
	if !r.told {
		r.told = true
		r.c.place.tell(r.ticket, h)
	}
}

// try opens the file where we are in it. A server that cannot begin there sends all of it once more.
func (r *raw) try() error {
	ticket, status, ok := r.c.place.ask()
	if !ok {
		r.told = true
		return r.c.disabled(status)
	}
	r.ticket, r.told = ticket, false
	at := r.received.Load()
	body, err := r.c.place.files.get(r.ctx, r.info.URL, at)
	if err != nil {
		return err
	}
	switch {
	case body.from > at:
		err = fmt.Errorf("the server went on at byte %d, not %d", body.from, at)
	case r.info.FileSize != 0 && body.size >= 0 && body.size != int64(r.info.FileSize):
		err = r.c.fail(Corrupt, fmt.Errorf("bad NAR '%s': the file has %d bytes, not %d", r.c.show(r.info.URL), body.size, r.info.FileSize))
	default:
		_, err = io.CopyN(io.Discard, body, at-body.from)
	}
	if err != nil {
		return errors.Join(err, body.Close())
	}
	r.body = body
	return nil
}

func (r *raw) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.body == nil {
			if err := r.connect(); err != nil {
				return 0, err
			}
		}
		n, err := r.body.Read(p)
		if n > 0 {
			return r.came(p[:n])
		}
		if errors.Is(err, io.EOF) {
			r.tell(well)
			r.err = io.EOF
			continue
		}
		if err == nil {
			continue
		}
		err = errors.Join(err, r.body.Close())
		r.body = nil
		if err := r.again(err); err != nil {
			return 0, err
		}
	}
	return 0, r.err
}

func (r *raw) came(p []byte) (int, error) {
	at := r.received.Add(int64(len(p)))
	if at > r.limit {
		r.tell(well)
		r.err = r.c.fail(Corrupt, fmt.Errorf("bad NAR '%s': the file has more than %d bytes", r.c.show(r.info.URL), r.limit))
		return 0, r.err
	}
	if at-r.mark >= progress {
		r.tell(well)
		r.mark, r.failed = at, 0
	}
	if r.hash != nil {
		r.hash.Write(p)
	}
	return len(p), nil
}

// check reads what follows the packed stream, and compares the file with its promise.
func (r *raw) check() error {
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil {
		return err
	}
	if got := r.received.Load(); r.info.FileSize != 0 && got != int64(r.info.FileSize) {
		return fmt.Errorf("the file has %d bytes, not %d", got, r.info.FileSize)
	}
	if r.hash != nil {
		if got := nixhash.Finish(r.want.Algorithm(), r.hash); got != r.want {
			return fmt.Errorf("the file's hash is %v, not %v", got, r.want)
		}
	}
	return nil
}

func (r *raw) close() error {
	h := well
	if !errors.Is(r.err, io.EOF) {
		h = mute
	}
	r.tell(h)
	if r.err == nil {
		r.err = errors.New("read of a closed NAR")
	}
	if r.body == nil {
		return nil
	}
	err := r.body.Close()
	r.body = nil
	return err
}
