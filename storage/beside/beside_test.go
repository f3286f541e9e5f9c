package beside

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
)

// noise is bytes that never repeat.
func noise(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// processors has the runtime use so many, whatever the machine has.
func processors(t *testing.T, n int) {
	before := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// slow is far, and looks whether anybody writes to what it was given before it is done.
type slow struct{ bytes.Buffer }

func (s *slow) Write(b []byte) (int, error) {
	before := bytes.Clone(b)
	runtime.Gosched()
	if !bytes.Equal(b, before) {
		panic("a piece was changed while it was looked at")
	}
	return s.Buffer.Write(b)
}

// sizes are around what the stream has limits at.
func sizes() (all []int) {
	for _, limit := range []int{bufferSize, pieceSize, aloneSize, aloneSize + bufferSize, aloneSize + pieceSize, aloneSize + (pieceMost+2)*pieceSize} {
		all = append(all, limit-1, limit, limit+1)
	}
	return append(all, 0, 1)
}

// ways are how a stream can come: each gives both what is near and what is far.
var ways = map[string]func(near, far io.Writer, data []byte) (uint64, error){
	"written small": func(near, far io.Writer, data []byte) (uint64, error) {
		return written(near, far, data, 1000)
	},
	"written large": func(near, far io.Writer, data []byte) (uint64, error) {
		return written(near, far, data, 3*pieceSize/2)
	},
	"given": func(near, far io.Writer, data []byte) (uint64, error) {
		w := NewWriter(near, far)
		defer w.Close()
		room := make([]byte, 0, 100<<10)
		for len(data) > 0 {
			n := min(cap(room), len(data))
			room = append(room, data[:n]...)
			var err error
			if room, err = w.Give(room); err != nil || len(room) > 0 {
				return 0, errors.Join(err, fmt.Errorf("%d bytes are in a buffer to be filled", len(room)))
			}
			data = data[n:]
		}
		return w.Size(), nil
	},
	"read": func(near, far io.Writer, data []byte) (uint64, error) {
		r := NewReader(bytes.NewReader(data), far)
		defer r.Close()
		_, err := io.CopyBuffer(struct{ io.Writer }{near}, struct{ io.Reader }{r}, make([]byte, 5000))
		return r.Size(), err
	},
	"read by turns": func(near, far io.Writer, data []byte) (uint64, error) {
		r := NewReader(iotest.HalfReader(bytes.NewReader(data)), far)
		defer r.Close()
		for {
			if _, err := io.CopyN(near, struct{ io.Reader }{r}, 3000); err == io.EOF {
				return r.Size(), nil
			}
			b, err := r.Next(pieceSize + 1)
			if err == io.EOF {
				return r.Size(), nil
			}
			runtime.Gosched() // what is far may be done with it
			if near.Write(b); err != nil {
				return 0, err
			}
		}
	},
	"passed on": func(near, far io.Writer, data []byte) (uint64, error) {
		r := NewReader(bytes.NewReader(data), far)
		defer r.Close()
		_, err := r.WriteTo(near)
		return r.Size(), err
	},
}

func written(near, far io.Writer, data []byte, each int) (uint64, error) {
	w := NewWriter(near, far)
	defer w.Close()
	for len(data) > 0 {
		n := min(each, len(data))
		if got, err := w.Write(data[:n]); err != nil || got != n {
			return 0, fmt.Errorf("%d of %d are written: %w", got, n, err)
		}
		data = data[n:]
	}
	return w.Size(), nil
}

// TestBothHaveAll: however a stream comes, of whatever size, alone or beside.
func TestBothHaveAll(t *testing.T) {
	all := noise(4 << 20)
	for _, n := range []int{1, 2} {
		processors(t, n)
		for way, stream := range ways {
			for _, size := range sizes() {
				var near bytes.Buffer
				var far slow
				got, err := stream(&near, &far, all[:size])
				if err != nil || got != uint64(size) || !bytes.Equal(near.Bytes(), all[:size]) || !bytes.Equal(far.Bytes(), all[:size]) {
					t.Errorf("%s, %d bytes, %d processors: near has %d, far %d, %d are counted, %v", way, size, n, near.Len(), far.Len(), got, err)
				}
			}
		}
	}
	if n := running.Load(); n != 0 {
		t.Errorf("%d lines are left", n)
	}
}

// held is far, and waits until it may go on.
type held struct{ may chan struct{} }

func (h held) Write(b []byte) (int, error) {
	<-h.may
	return len(b), nil
}

// TestBeside: the stream goes on while far has not taken what came, as far as there are
// pieces, and no further.
func TestBeside(t *testing.T) {
	processors(t, 2)
	may := make(chan struct{}, 100)
	for range aloneSize / bufferSize { // which are written by the stream itself
		may <- struct{}{}
	}
	r := NewReader(endless{}, held{may})
	var wait sync.WaitGroup
	wait.Go(func() {
		for range aloneSize/bufferSize + pieceMost {
			if _, err := r.Next(math.MaxUint64); err != nil {
				t.Error(err)
			}
		}
	})
	wait.Wait()
	if r.Size() != aloneSize+pieceMost*pieceSize || len(may) != 0 || r.to.line.made != pieceMost {
		t.Errorf("%d bytes are read, with %d pieces", r.Size(), r.to.line.made)
	}
	close(may)
	r.Close()
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// TestNoMoreThanProcessors: of many streams only some have a line, and all have what came.
func TestNoMoreThanProcessors(t *testing.T) {
	processors(t, 3)
	data := noise(4 << 20)
	var open []*Writer
	var all []*slow
	lines := 0
	for range 5 {
		far := &slow{}
		w := NewWriter(nil, far)
		w.Write(data)
		if open, all = append(open, w), append(all, far); w.line != nil {
			lines++
		}
	}
	if lines != 3 {
		t.Errorf("%d streams have a line", lines)
	}
	for i, w := range open {
		w.Close()
		if w.Close(); !bytes.Equal(all[i].Bytes(), data) {
			t.Errorf("stream %d has %d bytes", i, all[i].Len())
		}
	}
	if n := running.Load(); n != 0 {
		t.Errorf("%d lines are left", n)
	}
}

// full takes some bytes and no more.
type full struct{ left int }

var errFull = errors.New("no room")

func (f *full) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// TestFailures: an error of either end is told, wherever it comes, and no line is left.
func TestFailures(t *testing.T) {
	processors(t, 2)
	data := noise(4 << 20)
	for way, stream := range ways {
		for _, at := range []int{0, 100, aloneSize, aloneSize + pieceSize + 1, 3 << 20} {
			if way == "read by turns" { // which passes errors of what is near over
				continue
			}
			if _, err := stream(&full{at}, io.Discard, data); !errors.Is(err, errFull) {
				t.Errorf("%s, full after %d: %v", way, at, err)
			}
		}
	}
	for _, at := range []int{0, 100, aloneSize, aloneSize + pieceSize + 1} {
		far := &slow{}
		r := NewReader(io.MultiReader(bytes.NewReader(data[:at]), iotest.ErrReader(errFull)), far)
		_, err := r.WriteTo(io.Discard)
		if r.Close(); !errors.Is(err, errFull) || !bytes.Equal(far.Bytes(), data[:at]) {
			t.Errorf("lost after %d: %v, far has %d", at, err, far.Len())
		}
	}
	if n := running.Load(); n != 0 {
		t.Errorf("%d lines are left", n)
	}
}
