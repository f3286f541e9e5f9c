package workerproto

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFramed(t *testing.T) {
	sent := append(wire(3), "abc"...)
	sent = append(sent, wire(1)...)
	sent = append(sent, 'd')
	sent = append(sent, wire(0, 77)...)
	for _, src := range []io.Reader{bytes.NewReader(sent), iotest.OneByteReader(bytes.NewReader(sent)), iotest.DataErrReader(bytes.NewReader(sent))} {
		r := NewReader(src)
		got, err := io.ReadAll(NewFramed(r))
		if err != nil || string(got) != "abcd" {
			t.Errorf("read %q, %v", got, err)
		}
		if n, err := r.Int(); err != nil || n != 77 {
			t.Errorf("after the stream: %d, %v", n, err)
		}
	}
}

// TestFramedDrains what nobody has read, so that the next operation is found.
func TestFramedDrains(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	s := NewFramedWriter(w)
	big := strings.Repeat("x", 3*largeSize)
	for _, part := range []string{"", "a", big} {
		if n, err := io.WriteString(s, part); err != nil || n != len(part) {
			t.Fatal(n, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := append(wire(1), 'a')
	want = append(append(append(want, wire(len(big))...), big...), wire(0)...)
	if !bytes.Equal(b.Bytes(), want) {
		t.Fatalf("%d bytes were written, not %d", b.Len(), len(want))
	}
	b.Write(wire(77))
	r := NewReader(&b)
	stream := NewFramed(r)
	if _, err := stream.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := stream.Drain(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Int(); err != nil || n != 77 {
		t.Errorf("after the stream: %d, %v", n, err)
	}
}

// TestFramedCut: a stream without its end is no stream that ends.
func TestFramedCut(t *testing.T) {
	for _, sent := range [][]byte{nil, wire(3), append(wire(3), "ab"...), append(wire(3), "abc"...), wire(uint64(1<<64 - 1)), wire(0)[:7]} {
		s := NewFramed(NewReader(bytes.NewReader(sent)))
		for range 2 { // the error sticks
			if err := s.Drain(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q: %v", sent, err)
			}
		}
	}
}

// TestPull: each piece is asked for, and one that is empty or too long is an
// error.
func TestPull(t *testing.T) {
	c, r, w := converse(wire("abc", "d", ""))
	got, err := io.ReadAll(NewPull(r, w))
	if string(got) != "abcd" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, %v", got, err)
	}
	ask := wire(0x64617461, pullSize)
	if err := same(c.sent.Bytes(), bytes.Repeat(ask, 3)); err != nil {
		t.Error(err)
	}
	_, r, w = converse(wire(pullSize + 1))
	if _, err := NewPull(r, w).Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "more than 32768") {
		t.Errorf("a long piece: %v", err)
	}
}

// TestRawBytes: what follows a message is read from the Reader as it is, though
// some of it was read ahead.
func TestRawBytes(t *testing.T) {
	raw := strings.Repeat("raw bytes", 3*largeSize)
	for _, wrap := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.OneByteReader} {
		r := NewReader(wrap(strings.NewReader(string(wire(38, a)) + raw + string(wire(13)))))
		op, err := r.ReadOp()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeRequest(r, op, in(38)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(raw))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != raw {
			t.Fatalf("raw bytes differ: %v", err)
		}
		if op, err := r.ReadOp(); op != OpSyncWithGC || err != nil {
			t.Errorf("then: %v, %v", op, err)
		}
		if _, err := r.ReadOp(); err != io.EOF {
			t.Errorf("in the end: %v", err)
		}
	}
}

// TestIdleIsSmall: between messages neither side holds a borrowed buffer.
func TestIdleIsSmall(t *testing.T) {
	r := NewReader(bytes.NewReader(wire(8, "x", strings.Repeat("x", 4*smallSize), 0)))
	op, err := r.ReadOp()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeRequest(r, op, in(38)); err != nil || r.large == nil {
		t.Fatalf("%v; the long message borrowed nothing", err)
	}
	if r.Begin(); r.large != nil {
		t.Error("an idle reader keeps its buffer")
	}
	w := NewWriter(io.Discard)
	w.String(strings.Repeat("x", 4*smallSize))
	if w.large == nil {
		t.Error("the long message borrowed nothing")
	}
	if err := w.Flush(); err != nil || w.large != nil {
		t.Errorf("an idle writer keeps its buffer, %v", err)
	}
}

// TestWriterErrorSticks: the first error of the stream is the one that is told.
func TestWriterErrorSticks(t *testing.T) {
	dst := &failing{after: 1}
	w := NewWriter(dst)
	for range 3 * largeSize / 8 {
		w.Int(1)
	}
	if _, err := w.Write(make([]byte, 2*largeSize)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Write: %v", err)
	}
	if err := w.Flush(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Flush: %v", err)
	}
	if dst.after != -1 {
		t.Errorf("written to %d times after the error", -1-dst.after)
	}
}

// failing takes some writes and then no more.
type failing struct{ after int }

func (f *failing) Write(b []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}
