package export

import (
	"bytes"
	"context"
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
