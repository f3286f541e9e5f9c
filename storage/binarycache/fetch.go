package binarycache

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync/atomic"

	"troupe/storage/nar"
	"troupe/storage/narinfo"
	"troupe/storage/nixhash"
)

// A NAR is read as it arrives. Its last bytes come with io.EOF only if all that the narinfo says of it was true: until
// then nobody may trust what came. One goroutine reads and closes it.
type NAR struct {
	c     *Cache
	info  narinfo.Info
	raw   *raw
	plain io.ReadCloser
	hash  hash.Hash
	got   uint64
	err   error // of the first read that failed, or io.EOF
	end   context.CancelFunc
	free  func()
}

// Fetch opens the NAR that Info found. It waits while too many are open. ctx is of all that is read.
func (c *Cache) Fetch(ctx context.Context, info narinfo.Info) (*NAR, error) {
	if err := checkName(info.URL); err != nil {
		return nil, c.fail(Corrupt, err)
	}
	free, err := c.takeForNAR(ctx)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	n := &NAR{c: c, info: info, raw: newRaw(ctx, c, info), hash: nixhash.SHA256.New(), end: end, free: free}
	err = n.raw.connect()
	if err == nil {
		if n.plain, err = c.pool.unpackers.unpack(ctx, info.Compression, n.raw); err != nil {
			err = n.explain(err)
		}
	}
	if err != nil {
		n.plain = nil
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (c *Cache) takeForNAR(ctx context.Context) (free func(), err error) {
	if err := take(ctx, c.place.nars); err != nil {
		return nil, err
	}
	if err := take(ctx, c.place.requests); err != nil {
		<-c.place.nars
		return nil, err
	}
	return func() { <-c.place.requests; <-c.place.nars }, nil
}

// Received is how many bytes have come over the network, for whoever shows progress; at any time, from anywhere.
func (n *NAR) Received() int64 { return n.raw.received.Load() }

// Read never gives out more than the narinfo promised.
func (n *NAR) Read(p []byte) (int, error) {
	if n.err != nil || len(p) == 0 {
		return 0, n.err
	}
	left := n.info.NarSize - n.got
	if left == 0 {
		n.err = n.finish()
		return 0, n.err
	}
	got, err := n.plain.Read(p[:min(uint64(len(p)), left)])
	n.hash.Write(p[:got])
	n.got += uint64(got)
	switch {
	case errors.Is(err, io.EOF) && n.got < n.info.NarSize:
		err = n.corrupt(fmt.Errorf("it has %d bytes, not %d", n.got, n.info.NarSize))
	case errors.Is(err, io.EOF):
		err = nil
	case err != nil:
		err = n.explain(err)
	}
	n.err = err
	return got, err
}

// finish says whether all that came is what was promised, and nothing more comes.
func (n *NAR) finish() error {
	var one [1]byte
	if got, err := io.ReadFull(n.plain, one[:]); got > 0 {
		return n.corrupt(fmt.Errorf("it has more than %d bytes", n.info.NarSize))
	} else if !errors.Is(err, io.EOF) {
		return n.explain(err)
	}
	if got := nixhash.Finish(nixhash.SHA256, n.hash); got != n.info.NarHash {
		return n.corrupt(fmt.Errorf("hash mismatch importing path '%s'; specified: %v, got: %v", n.c.dir.Join(n.info.Path), n.info.NarHash, got))
	}
	if err := n.raw.check(); err != nil {
		return n.explain(err)
	}
	return io.EOF
}

func (n *NAR) corrupt(err error) error {
	return n.c.fail(Corrupt, fmt.Errorf("bad NAR '%s': %w", n.c.show(n.info.URL), err))
}

// explain tells what the network did to the stream from what is wrong with the stream.
func (n *NAR) explain(err error) error {
	if n.raw.err != nil && !errors.Is(n.raw.err, io.EOF) {
		return n.raw.err
	}
	return n.corrupt(err)
}

// Close ends the transfer. What was not read to io.EOF was not checked.
func (n *NAR) Close() error {
	if n.free == nil {
		return nil
	}
	n.end() // so that a program that unpacks is not waiting for more, and its end can be awaited
	var err error
	if n.plain != nil {
		err = n.plain.Close()
	}
	err = errors.Join(err, n.raw.close())
	n.free()
	n.free = nil
	return err
}

// Unpack makes what the NAR holds at a place where nothing may be, and leaves nothing there unless all of it was as
// promised.
func (n *NAR) Unpack(place string) error {
	buffered, done := n.c.pool.unpackers.buffer(n)
	defer done()
	if err := nar.Restore(buffered, place); err != nil {
		var syntax *nar.SyntaxError
		if errors.As(err, &syntax) {
			err = n.corrupt(err)
		}
		return err
	}
	_, err := buffered.ReadByte()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = n.corrupt(errors.New("bytes follow the archive"))
	}
	return errors.Join(err, os.RemoveAll(place))
}

// raw is the packed NAR. Where the network fails it goes on from there, as often as requests are tried; a MiB of
// progress makes it a new request.
type raw struct {
	ctx      context.Context
	c        *Cache
	info     narinfo.Info
	limit    int64     // bytes that may come
	hash     hash.Hash // nil where nothing was promised
	received atomic.Int64

	body   *content
	ticket Ticket
	told   bool // the breaker knows how the ticket's request went
	failed uint // attempts since mark
	mark   int64
	err    error // sticky
}

const progress = 1 << 20

func newRaw(ctx context.Context, c *Cache, info narinfo.Info) *raw {
	r := &raw{ctx: ctx, c: c, info: info, limit: int64(info.FileSize)}
	if info.FileSize == 0 { // no packing makes it much larger
		r.limit = int64(min(info.NarSize, 1<<61))*2 + progress
	}
	if !info.FileHash.IsZero() {
		r.hash = info.FileHash.Algorithm().New()
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
		err = r.c.explain(r.info.URL, err)
	case classOf(err) != Transient || r.failed >= r.c.pool.settings.Attempts || r.c.Status().State == Open:
		err = r.c.explain(r.info.URL, err)
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
		if got := nixhash.Finish(r.info.FileHash.Algorithm(), r.hash); got != r.info.FileHash {
			return fmt.Errorf("the file's hash is %v, not %v", got, r.info.FileHash)
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
