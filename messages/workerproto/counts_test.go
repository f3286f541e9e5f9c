package workerproto

import (
	"bytes"
	"io"
	"testing"

	"troupe/storage/storepath"
)

// question reads a question and answers it, as a server does.
func question(tb testing.TB) func() {
	p, err := storepath.ParseBase("0123456789abcdfghijklmnpqrsvwxyz-hello-2.12.1")
	if err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := WriteRequest(w, &IsValidPath{Path: p}, in(38)); err != nil || w.Flush() != nil {
		tb.Fatal(err)
	}
	src := bytes.NewReader(b.Bytes())
	r, out := NewReader(src), NewWriter(io.Discard)
	return func() {
		src.Reset(b.Bytes())
		op, err := r.ReadOp()
		if err == nil {
			_, err = DecodeRequest(r, op, in(38))
		}
		if err == nil {
			err = WriteFrame(out, &Last{}, in(38))
		}
		if err == nil {
			err = WriteReply(out, &Bool{Value: true}, in(38))
		}
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

func BenchmarkQuestion(b *testing.B) {
	ask := question(b)
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}

// TestCountsOfAQuestion bounds what a question allocates in the codec.
func TestCountsOfAQuestion(t *testing.T) {
	if n := testing.AllocsPerRun(100, question(t)); n > 6 {
		t.Errorf("%v allocations", n)
	}
}
