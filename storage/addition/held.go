package addition

import (
	"errors"
	"hash"
	"io"
	"sync"

	"troupe/storage/nar"
	"troupe/storage/storepath"
)

// held is an object, or its beginning, in memory, until it is known whether its path is
// valid: clients add again whatever they evaluate again, and most of that is small. Who
// reads it takes it out.
type held struct {
	pieces []*[pieceSize]byte
	size   int // bytes that were put in
	read   int // bytes that were taken out, of which no whole piece is there any more
	most   int // pieces
}

// pieceSize is in bytes. Each object may have one piece.
const pieceSize = 64 << 10

// further are the pieces of which larger objects take more, all of them together as
// many as there is room for.
var further = make(chan struct{}, 256)

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

var errNotSmall = errors.New("more than is held in memory")

// room is where the next bytes go; none where no more is held.
func (h *held) room() []byte {
	if h.size == len(h.pieces)*pieceSize {
		if len(h.pieces) >= h.most {
			return nil
		}
		if len(h.pieces) > 0 {
			select {
			case further <- struct{}{}:
			default:
				return nil
			}
		}
		h.pieces = append(h.pieces, pieces.Get().(*[pieceSize]byte))
	}
	return h.pieces[len(h.pieces)-1][h.size%pieceSize:]
}

// drop lets go of the first piece.
func (h *held) drop() {
	pieces.Put(h.pieces[0])
	if h.pieces = h.pieces[1:]; len(h.pieces) > 0 {
		<-further
	}
}

// release lets go of all that is held.
func (h *held) release() {
	for len(h.pieces) > 0 {
		h.drop()
	}
}

// Read takes out what was put in.
func (h *held) Read(b []byte) (int, error) {
	if h.read == h.size {
		return 0, io.EOF
	}
	at := h.read % pieceSize
	n := copy(b, h.pieces[0][at:min(pieceSize, at+h.size-h.read)])
	if h.read += n; h.read%pieceSize == 0 {
		h.drop()
	}
	return n, nil
}

// hash gives a hash all that was put in.
func (h *held) hash(w hash.Hash) {
	for n, p := range h.pieces {
		w.Write(p[:min(pieceSize, h.size-n*pieceSize)])
	}
}

// fill reads one object and nothing after it, or the beginning of one that is too large.
func (h *held) fill(m storepath.Method, r io.Reader) (whole bool, err error) {
	in := &holding{r, h}
	if m == storepath.Flat || m == storepath.Text { // how much comes is not said
		h.most = cap(further) / 16
		_, err = io.Copy(io.Discard, in)
	} else {
		h.most = cap(further)
		err = nar.Parse(in, untilLarge{})
	}
	if errors.Is(err, errNotSmall) {
		return false, nil
	}
	return err == nil, err
}

// holding holds what is read through it.
type holding struct {
	r io.Reader
	h *held
}

func (i *holding) Read(b []byte) (int, error) {
	room := i.h.room()
	if room == nil {
		return 0, errNotSmall
	}
	n, err := i.r.Read(b[:min(len(b), len(room))])
	i.h.size += copy(room, b[:n])
	return n, err
}

// untilLarge ends an archive at a file that will not be held whole: so it is known
// before any of it is.
type untilLarge struct{}

func (untilLarge) Directory(string) error       { return nil }
func (untilLarge) Up() error                    { return nil }
func (untilLarge) Symlink(string, string) error { return nil }
func (untilLarge) File(_ string, _ bool, size uint64, r io.Reader) error {
	if size > uint64(cap(further)*pieceSize) {
		return errNotSmall
	}
	_, err := io.Copy(io.Discard, r)
	return err
}
