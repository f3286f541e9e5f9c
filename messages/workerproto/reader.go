package workerproto

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
)

const (
	smallSize = 512     // bytes that an idle reader or writer keeps; most requests fit
	largeSize = 1 << 15 // bytes of a buffer that a long message borrows
	chunkSize = 1 << 16 // bytes that are allocated on the word of a length alone

	// DefaultLimit bounds one message in bytes, without the streams that follow
	// it: a million store paths fit.
	DefaultLimit = 1 << 27
)

var buffers = sync.Pool{New: func() any { b := make([]byte, largeSize); return &b }}

// Reader reads the primitives of the protocol from a stream. It is an
// [io.Reader] of the stream too, for archives that follow a request without
// frames: it gives exactly what comes next, though it reads ahead itself.
//
// An idle reader holds half a kilobyte; a long message borrows a larger buffer.
type Reader struct {
	src      io.Reader
	from, to int // what is read ahead, in buf
	limit    int64
	left     int64   // bytes that this message may still have
	large    *[]byte // borrowed, or nil
	small    [smallSize]byte
	scratch  [8]byte
}

// NewReader reads from src, with [DefaultLimit].
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, limit: DefaultLimit, left: DefaultLimit}
}

// SetLimit bounds the messages to come in bytes; a message begins at
// [Reader.Begin].
func (r *Reader) SetLimit(bytes int64) { r.limit, r.left = bytes, bytes }

// Begin is called before each message: its bytes count from here. What
// [DecodeRequest] reads begins with [Reader.ReadOp], the other Read and Decode
// functions of the package call it themselves.
func (r *Reader) Begin() {
	r.left = r.limit
	if r.from == r.to {
		r.giveBack()
	}
}

// Buffered is the number of bytes that are read ahead.
func (r *Reader) Buffered() int { return r.to - r.from }

// Await returns when there is something to read, or with what keeps it from
// coming: io.EOF where the peer is gone. Nothing else may use the reader
// meanwhile.
func (r *Reader) Await() error {
	if r.from < r.to {
		return nil
	}
	return r.fill()
}

func (r *Reader) buffer() []byte {
	if r.large != nil {
		return *r.large
	}
	return r.small[:]
}

func (r *Reader) giveBack() {
	if r.large != nil {
		buffers.Put(r.large)
		r.large = nil
	}
	r.from, r.to = 0, 0
}

// borrow makes room for a long message, once all that was read ahead is used.
func (r *Reader) borrow() {
	if r.large == nil {
		r.large = buffers.Get().(*[]byte)
	}
}

// fill reads ahead into the empty buffer. It takes at least one byte.
func (r *Reader) fill() error {
	n, err := readSome(r.src, r.buffer())
	r.from, r.to = 0, n
	return err
}

// maxEmptyReads is how often a stream may give neither a byte nor an error.
const maxEmptyReads = 100

func readSome(src io.Reader, b []byte) (int, error) {
	for range maxEmptyReads {
		n, err := src.Read(b)
		if n > 0 {
			return n, nil // an error comes again
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// Read gives raw bytes of the stream, beyond the bound of a message.
func (r *Reader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if r.from == r.to {
		if len(b) >= largeSize {
			return readSome(r.src, b)
		}
		r.borrow()
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.buffer()[r.from:r.to])
	r.from += n
	return n, nil
}

// spend takes n bytes from what the message may have.
func (r *Reader) spend(n uint64) error {
	if n > uint64(max(r.left, 0)) {
		return errBudget
	}
	r.left -= int64(n)
	return nil
}

// word reads eight bytes that count for no message.
func (r *Reader) word() (uint64, error) {
	if r.to-r.from >= 8 {
		r.from += 8
		return binary.LittleEndian.Uint64(r.buffer()[r.from-8:]), nil
	}
	_, err := io.ReadFull(r, r.scratch[:])
	return binary.LittleEndian.Uint64(r.scratch[:]), err
}

// Int reads an integer.
func (r *Reader) Int() (uint64, error) {
	if err := r.spend(8); err != nil {
		return 0, err
	}
	n, err := r.word()
	return n, cut(err)
}

// Bool reads an integer that is 0 or 1.
func (r *Reader) Bool() (bool, error) {
	n, err := r.Int()
	if err == nil && n > 1 {
		err = fmt.Errorf("%d is neither 0 nor 1", n)
	}
	return n == 1, err
}

// Count reads the number of the items of a list. Each item has at least size
// bytes, which bounds what is believed; still, the items must come before
// memory is taken for them.
func (r *Reader) Count(size uint64) (int, error) {
	n, err := r.Int()
	if err == nil && n > uint64(max(r.left, 0))/size {
		err = fmt.Errorf("a list of %d items: %w", n, errBudget)
	}
	if err != nil {
		return 0, err
	}
	return int(n), nil
}

// NoLimit is for strings that are bounded by their message alone.
const NoLimit uint64 = math.MaxUint64

// String reads a string of at most limit bytes. Memory grows as bytes come.
func (r *Reader) String(limit uint64) (string, error) {
	n, err := r.Int()
	if err != nil {
		return "", err
	}
	if n > limit {
		return "", fmt.Errorf("a string of %d bytes, more than %d", n, limit)
	}
	if err := r.spend(n); err != nil {
		return "", fmt.Errorf("a string of %d bytes: %w", n, err)
	}
	var b strings.Builder
	b.Grow(int(min(n, chunkSize)))
	for left := n; left > 0; {
		if r.from == r.to {
			r.borrow()
			if err := r.fill(); err != nil {
				return "", cut(err)
			}
		}
		part := r.buffer()[r.from:min(uint64(r.to), uint64(r.from)+left)]
		b.Write(part)
		r.from += len(part)
		left -= uint64(len(part))
	}
	return b.String(), r.padding(n)
}

// padding reads the zeros that fill up a string of n bytes.
func (r *Reader) padding(n uint64) error {
	pad := r.scratch[:-n&7]
	if err := r.spend(uint64(len(pad))); err != nil {
		return err
	}
	if _, err := io.ReadFull(r, pad); err != nil {
		return cut(err)
	}
	for _, b := range pad {
		if b != 0 {
			return errPadding
		}
	}
	return nil
}

// ReadOp reads the opcode that begins a request; at the end of the stream the
// error is io.EOF. The opcode may be unknown: [DecodeRequest] says so.
func (r *Reader) ReadOp() (Op, error) {
	r.Begin()
	if err := r.Await(); err != nil {
		return 0, err
	}
	n, err := r.Int()
	if err != nil {
		return 0, &DecodeError{Message: "operation", Err: err}
	}
	return Op(n), nil
}
