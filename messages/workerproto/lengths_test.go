package workerproto

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// evil are lengths and counts that overflow where something is added, are negative as
// signed numbers, or are far more than is sent.
var evil = []uint64{1<<64 - 1, 1<<64 - 7, 1<<64 - 8, 1<<63 + 1, 1 << 63, 1<<63 - 1, 1 << 62, 1 << 40, 1 << 32}

// TestEvilLengths: every number of a message, which may be a length, a count or a value,
// is replaced: no memory is taken on its word. Most are refused; a value that may be
// anything is not.
func TestEvilLengths(t *testing.T) {
	decode := func(op Op, d Dialect) func(*Reader) error {
		return func(r *Reader) error {
			got, err := r.ReadOp()
			if err != nil || got != op {
				return err // it is another one now
			}
			_, err = DecodeRequest(r, got, d)
			return err
		}
	}
	reply := func(q Request) func(*Reader) error {
		return func(r *Reader) error {
			_, err := ReadReply(r, q, in(38))
			return err
		}
	}
	frame := func(r *Reader) error {
		_, err := ReadFrame(r, in(38))
		return err
	}
	for _, c := range []struct {
		name string
		sent []byte
		read func(*Reader) error
	}{
		{"IsValidPath", wire(1, a), decode(1, in(38))},
		{"AddToStore", wire(7, "a", "fixed:r:sha256", 1, a, 0), decode(7, in(38))},
		{"AddToStore of old", wire(7, "a", 1, 1, "sha256"), decode(7, in(24))},
		{"AddTextToStore", wire(8, "a", "text", 1, a), decode(8, in(38))},
		{"BuildPaths", wire(9, 2, a, bDrv+"!out", 0), decode(9, in(38))},
		{"SetOptions", wire(19, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, "name", "value"), decode(19, in(38))},
		{"CollectGarbage", wire(20, 3, 1, a, 0, 5, 0, 0, 0), decode(20, in(38))},
		{"QueryValidPaths", wire(31, 2, a, bDrv, 1), decode(31, in(38))},
		{"BuildDerivation", wire(36, bDrv, 1, "out", a, "", "", 1, a, "system", "builder", 1, "arg", 1, "k", "v", 0), decode(36, in(38))},
		{"AddToStoreNar", wire(39, a, bDrv, hex0, 1, a, 5, 9, 1, 1, "k:s", "", 0, 1), decode(39, in(38))},
		{"QueryMissing", wire(40, 1, a), decode(40, in(38))},
		{"RegisterDrvOutput", wire(42, `{"id":"sha256:`+hex0+`!out","outPath":"`+hash1+`-a"}`), decode(42, in(38))},
		{"AddMultipleToStore", wire(44, 0, 1), decode(44, in(38))},
		{"reply to QueryPathInfo", wire(1, bDrv, hex0, 1, a, 5, 9, 1, 1, "k:s", ""), reply(&QueryPathInfo{})},
		{"reply to QueryValidPaths", wire(2, a, bDrv), reply(&QueryValidPaths{})},
		{"a line", wire(0x6f6c6d67, "text"), frame},
		{"an activity", wire(0x53545254, 1, 0, 100, "text", 2, 0, 7, 1, "field", 0), frame},
		{"an error", wire(0x63787470, "Error", 0, "Error", "no", 0, 1, 0, "trace"), frame},
	} {
		if err := wholly(c.sent, c.read); err != nil {
			t.Errorf("%s as it is: %v", c.name, err)
		}
		for at := 0; at+8 <= len(c.sent); at += 8 {
			took := allocated(func() {
				for _, n := range evil {
					sent := append(append(bytes.Clone(c.sent[:at]), wire(n)...), c.sent[at+8:]...)
					err := c.read(NewReader(bytes.NewReader(sent)))
					var bad *DecodeError
					if err != nil && !errors.As(err, &bad) && !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "invalid operation") {
						t.Errorf("%s, %d at %d: %v", c.name, n, at, err)
					}
				}
			})
			if took > uint64(len(evil)*2*chunkSize) {
				t.Errorf("%s, at %d: takes %d bytes", c.name, at, took)
			}
		}
	}
}

// TestEvilFrames: a frame that says that it is longer than anything is cut where the
// connection ends, and its length is no memory.
func TestEvilFrames(t *testing.T) {
	for _, n := range evil {
		sent := append(wire(n), strings.Repeat("x", 100)...)
		var got []byte
		var err error
		took := allocated(func() { got, err = io.ReadAll(NewFramed(NewReader(bytes.NewReader(sent)))) })
		if len(got) != 100 || !errors.Is(err, io.ErrUnexpectedEOF) || took > 4*chunkSize {
			t.Errorf("a frame of %d: %d bytes, %v, which took %d", n, len(got), err, took)
		}
		_, r, w := converse(wire(n))
		if _, err := NewPull(r, w).Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "more than 32768") {
			t.Errorf("a piece of %d: %v", n, err)
		}
	}
}
