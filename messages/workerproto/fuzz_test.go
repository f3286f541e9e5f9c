package workerproto

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// fuzzLimit bounds a message here, so that what gets past it is noticed.
const fuzzLimit = 1 << 16

// someDialect is one of those that there are.
func someDialect(minor, features uint8) Dialect {
	d := Dialect{Version: max(Oldest, min(MakeVersion(1, minor), Newest)), Dir: dir}
	for i, f := range []string{DeleteReferrers, RealisationWithPath} {
		if d.Version.AtLeast(38) && features>>i&1 == 1 {
			d.Features = append(d.Features, f)
		}
	}
	return d
}

// roundTrip reads data, and if there is a value in it, writes and reads it
// again: it must be the same value, and what follows must not be touched.
func roundTrip[T any](t *testing.T, data []byte, read func(*Reader) (T, error), write func(*Writer, T) error) {
	r := NewReader(bytes.NewReader(data))
	r.SetLimit(fuzzLimit)
	first, err := read(r)
	var bad *DecodeError
	var unknown *UnknownOpError
	if err != nil {
		if !errors.As(err, &bad) && !errors.As(err, &unknown) && err != io.EOF {
			t.Fatalf("the error is %T: %v", err, err)
		}
		return
	}
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := errors.Join(write(w, first), w.Flush()); err != nil {
		t.Fatalf("%#v cannot be written: %v", first, err)
	}
	b.Write(wire(77))
	r = NewReader(&b)
	again, err := read(r)
	if err != nil || !reflect.DeepEqual(first, again) {
		t.Fatalf("%#v is read again as %#v, %v", first, again, err)
	}
	if n, err := r.Int(); n != 77 || err != nil {
		t.Fatalf("after it: %d, %v", n, err)
	}
}

// eachCaptured calls f for the captured messages of a kind that differ in their
// beginnings.
func eachCaptured(f *testing.F, pick func(part) bool, use func(part, Op, uint8)) {
	seen := map[string]bool{}
	for _, file := range captures(f) {
		_, minor, _ := strings.Cut(strings.TrimSuffix(file, ".txt"), "-1.")
		op := Op(0)
		for _, m := range session(f, file) {
			if op2, ok := opNamed(m.name); ok {
				op = op2
			}
			if key := m.name + op.String() + minor; pick(m) && !seen[key] {
				seen[key] = true
				use(m, op, uint8(int(minor[len(minor)-2]-'0')*10+int(minor[len(minor)-1]-'0')))
			}
		}
	}
}

func opNamed(name string) (Op, bool) {
	for op, known := range operations {
		if known.name == name {
			return op, true
		}
	}
	return 0, false
}

func FuzzRequest(f *testing.F) {
	eachCaptured(f, func(m part) bool { _, ok := opNamed(m.name); return ok }, func(m part, op Op, minor uint8) {
		f.Add(uint8(op), minor, uint8(0), m.bytes[8:])
	})
	for _, op := range slices.Sorted(maps.Keys(operations)) {
		f.Add(uint8(op), uint8(38), uint8(3), wire(a, bDrv, 1, a, 0))
	}
	f.Fuzz(func(t *testing.T, op, minor, features uint8, data []byte) {
		d := someDialect(minor, features)
		roundTrip(t, append(wire(int(op)), data...), func(r *Reader) (Request, error) {
			op, err := r.ReadOp()
			if err != nil {
				return nil, err
			}
			return DecodeRequest(r, op, d)
		}, func(w *Writer, q Request) error { return WriteRequest(w, q, d) })
	})
}

func FuzzReply(f *testing.F) {
	eachCaptured(f, func(m part) bool { return m.name == "reply" }, func(m part, op Op, minor uint8) {
		f.Add(uint8(op), minor, uint8(0), m.bytes)
	})
	for _, op := range slices.Sorted(maps.Keys(operations)) {
		f.Add(uint8(op), uint8(38), uint8(3), wire(1, a, bDrv, 1, a, 0))
	}
	f.Fuzz(func(t *testing.T, op, minor, features uint8, data []byte) {
		known, ok := operations[Op(op)]
		if !ok {
			return
		}
		d, q := someDialect(minor, features), known.make()
		roundTrip(t, data, func(r *Reader) (Reply, error) { return ReadReply(r, q, d) },
			func(w *Writer, p Reply) error { return WriteReply(w, p, d) })
	})
}

func FuzzFrame(f *testing.F) {
	eachCaptured(f, func(m part) bool { return strings.HasPrefix(m.name, "frame") }, func(m part, _ Op, minor uint8) {
		f.Add(minor, m.bytes)
	})
	f.Fuzz(func(t *testing.T, minor uint8, data []byte) {
		d := someDialect(max(minor, 20), 0) // below, activities are not written as they are read
		roundTrip(t, data, func(r *Reader) (Frame, error) { return ReadFrame(r, d) },
			func(w *Writer, m Frame) error { return WriteFrame(w, m, d) })
	})
}

func FuzzPathInfo(f *testing.F) {
	f.Add(wire(a, bDrv, hex0, 1, a, 7, 9, 1, 1, "k:s", "fixed:r:sha256:"+nix32))
	f.Fuzz(func(t *testing.T, data []byte) {
		roundTrip(t, data, func(r *Reader) (ValidPathInfo, error) { return ReadPathInfo(r, in(38)) },
			func(w *Writer, i ValidPathInfo) error { return WritePathInfo(w, i, in(38)) })
	})
}

func FuzzHandshake(f *testing.F) {
	f.Add(wire(0x6e697863, 0x126, 1, RealisationWithPath, 0, 0), wire(0x6478696f, 0x126, 1, RealisationWithPath, "2.35.2", 1))
	f.Add(wire(0x6e697863, 0x122, 1, 5, 0), wire(0x6478696f, 0x122, "2.8.0"))
	f.Fuzz(func(t *testing.T, client, server []byte) {
		_, r, w := converse(client)
		d, err := Server{Dir: dir, Version: Newest, Features: []string{RealisationWithPath}}.Accept(r, w)
		if err == nil && (d.Version < Oldest || d.Version > Newest || len(d.Features) > 1) {
			t.Errorf("the server agrees to %v", d)
		}
		_, r, w = converse(server)
		peer, err := Client{Dir: dir, Version: Newest}.Connect(r, w)
		if err == nil && (peer.Version < Oldest || peer.Version > Newest || len(peer.Features) > 0) {
			t.Errorf("the client agrees to %v", peer)
		}
	})
}

func FuzzFramed(f *testing.F) {
	f.Add(append(wire(3), "abc\x00\x00\x00\x00\x00\x00\x00\x00"...), 1)
	f.Add(wire(uint64(1<<64-1)), 100)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		src := bytes.NewReader(data)
		r := NewReader(src)
		s := NewFramed(r)
		var got []byte
		piece := make([]byte, 1+uint(size)%1000)
		for {
			n, err := s.Read(piece)
			got = append(got, piece[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				return
			}
			if n == 0 {
				t.Fatal("no byte and no error")
			}
		}
		rest, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w := NewWriter(&b)
		out := NewFramedWriter(w)
		if _, err := out.Write(got); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		b.Write(rest)
		r = NewReader(&b)
		again, err := io.ReadAll(NewFramed(r))
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%q is read again as %q, %v", got, again, err)
		}
		if left, err := io.ReadAll(r); err != nil || !bytes.Equal(left, rest) {
			t.Fatalf("%q after the stream is read as %q, %v", rest, left, err)
		}
	})
}
