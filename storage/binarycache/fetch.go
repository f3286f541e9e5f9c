package binarycache

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

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
	hash  hash.Hash // nil where somebody else holds the NAR against its own
	got   uint64
	err   error // of the first read that failed, or io.EOF
	end   context.CancelFunc
	free  func()
}

// Fetch opens the NAR that Info found. It waits while too many are open. ctx is of all that is read.
func (c *Cache) Fetch(ctx context.Context, info narinfo.Info) (*NAR, error) {
	return c.openNAR(ctx, info, info.FileHash, nixhash.SHA256.New())
}

// FetchUnhashed is Fetch for who holds the NAR against its hash himself, as whoever adds it to a store does: of what
// was promised only the sizes are looked at, so that nothing is hashed twice.
func (c *Cache) FetchUnhashed(ctx context.Context, info narinfo.Info) (*NAR, error) {
	return c.openNAR(ctx, info, nixhash.Hash{}, nil)
}

func (c *Cache) openNAR(ctx context.Context, info narinfo.Info, file nixhash.Hash, own hash.Hash) (*NAR, error) {
	if err := checkName(info.URL); err != nil {
		return nil, c.fail(Corrupt, err)
	}
	free, err := c.takeForNAR(ctx)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	n := &NAR{c: c, info: info, raw: newRaw(ctx, c, info, file), hash: own, end: end, free: free}
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
	if n.hash != nil {
		n.hash.Write(p[:got])
	}
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
	if n.hash != nil {
		if got := nixhash.Finish(nixhash.SHA256, n.hash); got != n.info.NarHash {
			return n.corrupt(fmt.Errorf("hash mismatch importing path '%s'; specified: %v, got: %v", n.c.dir.Join(n.info.Path), n.info.NarHash, got))
		}
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
