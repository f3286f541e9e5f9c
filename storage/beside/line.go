package beside

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"troupe/storage/pace"
)

// line is a goroutine that writes pieces, and the pieces on their way to it and back. Of
// who hands them over and who takes them one waits for the other now and then, which
// wakes a thread: so pieces are large, and few.
type line struct {
	full, empty chan []byte
	made        int // pieces that there are
	ended       chan struct{}
}

const (
	pieceSize = 512 << 10 // bytes
	pieceMost = 3         // of one line
)

var pieces = sync.Pool{New: func() any { b := make([]byte, 0, pieceSize); return &b }}

// running is how many lines there are: more than there are processors would gain nothing,
// and each has its pieces.
var running atomic.Int32

// begin begins a line to a writer, or none, where there are enough.
func begin(to io.Writer) *line {
	most := runtime.GOMAXPROCS(0)
	if running.Add(1) > int32(most) || most == 1 {
		running.Add(-1)
		return nil
	}
	l := &line{full: make(chan []byte, pieceMost), empty: make(chan []byte, pieceMost), ended: make(chan struct{})}
	pace.Go(func() {
		defer close(l.ended)
		for b := range l.full {
			to.Write(b)
			l.empty <- b[:0]
		}
	})
	return l
}

// take gives an empty piece, as soon as there is one.
func (l *line) take() []byte {
	if l.made < pieceMost {
		select {
		case b := <-l.empty:
			return b
		default:
			l.made++
			return (*pieces.Get().(*[]byte))[:0]
		}
	}
	return <-l.empty
}

// end waits until all is written. Left is a piece that was not handed over, or nil.
func (l *line) end(left []byte) {
	close(l.full)
	<-l.ended
	running.Add(-1)
	close(l.empty)
	if left != nil {
		pieces.Put(&left)
	}
	for b := range l.empty {
		pieces.Put(&b)
	}
}
