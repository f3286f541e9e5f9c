package export

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"troupe/storage/storepath"
)

const dir storepath.Dir = "/nix/store"

// sample is a record as Nix writes it, after the archive.
func sample() []byte {
	var b bytes.Buffer
	w := &writer{ctx: context.Background(), w: &b}
	w.integer(0x4558494e)
	w.text("/nix/store/00000000000000000000000000000000-one")
	w.integer(2)
	w.text("/nix/store/11111111111111111111111111111111-two")
	w.text("/nix/store/00000000000000000000000000000000-one")
	w.text("/nix/store/22222222222222222222222222222222-one.drv")
	w.integer(0)
	return b.Bytes()
}

func TestRecord(t *testing.T) {
	r := bytes.NewReader(append(sample(), "more"...))
	rec, err := ReadRecord(r, dir)
	if err != nil || r.Len() != 4 || rec.Path.Name() != "one" || rec.Deriver.Name() != "one.drv" || len(rec.References) != 2 || rec.References[0] != rec.Path {
		t.Errorf("%+v %v, %d bytes are left", rec, err, r.Len())
	}
	old := sample() // as signed by programs of long ago
	old = append(old[:len(old)-8], 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c', 0, 0, 0, 0, 0)
	if again, err := ReadRecord(bytes.NewReader(old), dir); err != nil || again.Path != rec.Path {
		t.Errorf("%+v %v", again, err)
	}
	for end := range sample() {
		if _, err := ReadRecord(bytes.NewReader(sample()[:end]), dir); err == nil || !strings.Contains(err.Error(), "cut short") {
			t.Errorf("after %d bytes: %v", end, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(sample())
	f.Add(bytes.Replace(sample(), []byte("one"), []byte{0xff, 0xff, 0xff}, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := ReadRecord(bytes.NewReader(b), dir)
		if err == nil && rec.Path.IsZero() {
			t.Fatalf("%q is a record of nothing", b)
		}
		if _, err := Begin(bytes.NewReader(b)); err != nil && err != io.EOF && len(b) >= 8 && b[0] < 2 && bytes.Equal(b[1:8], make([]byte, 7)) {
			t.Fatalf("%q: %v", b, err)
		}
	})
}

// TestEvilRecords: lengths and counts that are no more than said, and take no memory.
func TestEvilRecords(t *testing.T) {
	whole := sample()
	for at := 0; at+8 <= len(whole); at += 8 {
		if !bytes.Equal(whole[at+1:at+8], make([]byte, 7)) {
			continue // no length
		}
		for _, n := range []uint64{1<<64 - 1, 1<<64 - 7, 1<<64 - 8, 1 << 63, 1<<63 - 1, 1 << 40} {
			sent := bytes.Clone(whole)
			binary.LittleEndian.PutUint64(sent[at:], n)
			_, err := ReadRecord(bytes.NewReader(sent), dir)
			if last := at == len(whole)-8; (err == nil) != last { // whether there is a signature, where Nix takes anything but 1 for none
				t.Errorf("%d at %d: %v", n, at, err)
			}
		}
	}
	// Of references there is a bound, also where all that are said are sent.
	one := whole[8 : 8+8+len("/nix/store/00000000000000000000000000000000-one")+1]
	count := binary.LittleEndian.AppendUint64(bytes.Clone(whole[:8+len(one)]), 1<<62)
	_, err := ReadRecord(io.MultiReader(bytes.NewReader(count), &again{text: one}), dir)
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || !strings.Contains(err.Error(), "references") {
		t.Errorf("without end: %v", err)
	}
}

// again gives a text without end.
type again struct {
	text []byte
	at   int
}

func (a *again) Read(b []byte) (int, error) {
	n := copy(b, a.text[a.at:])
	a.at = (a.at + n) % len(a.text)
	return n, nil
}
