package addition

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// small is how large an object may be, in bytes as it comes, that is held in memory
// until it is known whether its path is valid: clients add again whatever they
// evaluate again, and most of that is small.
const small = 256 << 10

var helds = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// already reads an object, as far as it is small, and looks whether its path is valid
// and to stay as it is. Where that is not so, or not known, rest has the object from its
// beginning, until release is called. The error is of the stream or of the store.
func (a *Adder) already(ctx context.Context, o Object, r io.Reader) (p storepath.Path, stays bool, rest io.Reader, release func(), err error) {
	held := helds.Get().(*bytes.Buffer)
	held.Reset()
	release = func() { helds.Put(held) }
	whole, err := hold(held, o.Method, untilDone{ctx, r})
	if err != nil || !whole || o.Method == storepath.Git { // it hashes what is on disk
		return p, false, io.MultiReader(bytes.NewReader(held.Bytes()), r), release, err
	}
	p, err = a.Layout.Dir.MakeFixed(o.Name, o.Method, nixhash.Sum(o.Algorithm, held.Bytes()), o.References, false)
	if err != nil || o.Repair {
		return p, false, bytes.NewReader(held.Bytes()), release, err
	}
	stays, err = a.there(p)
	return p, stays, bytes.NewReader(held.Bytes()), release, err
}

// hold reads one object and nothing after it, or the beginning of one that is not
// small.
func hold(held *bytes.Buffer, m storepath.Method, r io.Reader) (whole bool, err error) {
	if m == storepath.Flat || m == storepath.Text {
		n, err := held.ReadFrom(io.LimitReader(r, small+1))
		return n <= small, err
	}
	err = nar.Parse(&holding{r, held}, nil)
	if errors.Is(err, errNotSmall) {
		return false, nil
	}
	return err == nil, err
}

var errNotSmall = errors.New("more than is held in memory")

// holding keeps what is read through it, as far as that is small.
type holding struct {
	r    io.Reader
	held *bytes.Buffer
}

func (h *holding) Read(b []byte) (int, error) {
	left := small - h.held.Len()
	if left == 0 {
		return 0, errNotSmall
	}
	n, err := h.r.Read(b[:min(len(b), left)])
	h.held.Write(b[:n])
	return n, err
}
