package addition

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"troupe/storage/storepath"
)

// TestPiecesComeBack: whether all that is held is read, some or none, no piece is kept,
// and one object has never more than its share.
func TestPiecesComeBack(t *testing.T) {
	sent := bytes.Repeat([]byte("0123456789abcdef"), 100<<10) // 1.6 MiB
	for _, read := range []int64{0, 1, pieceSize, 3*pieceSize + 1, 1 << 20} {
		var h held
		r := bytes.NewReader(sent)
		whole, err := h.fill(storepath.Flat, r)
		if whole || err != nil || h.size != 1<<20 || len(further) != 15 {
			t.Fatalf("whole is %v, %v; %d bytes in %d further pieces", whole, err, h.size, len(further))
		}
		var got bytes.Buffer
		if _, err := io.CopyN(&got, &h, read); err != nil || !bytes.Equal(got.Bytes(), sent[:read]) {
			t.Errorf("%v, or other bytes are read", err)
		}
		h.release()
		if len(further) != 0 {
			t.Errorf("%d pieces are kept after %d bytes were read", len(further), read)
		}
	}
	for range cap(further) { // others have all
		further <- struct{}{}
	}
	var h held
	if whole, err := h.fill(storepath.Text, bytes.NewReader(sent[:pieceSize-1])); !whole || err != nil {
		t.Errorf("a small one is held whole: %v, %v", whole, err)
	}
	h.release()
	var broken held
	if _, err := broken.fill(storepath.Text, errReader{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	broken.release()
	for range cap(further) {
		<-further
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
