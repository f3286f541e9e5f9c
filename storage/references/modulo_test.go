package references

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"troupe/storage/nixhash"
)

// slowModulo is the same in one piece.
func slowModulo(data []byte, part string) nixhash.Hash {
	text := bytes.ReplaceAll(data, []byte(part), make([]byte, len(part)))
	for at := 0; ; at += len(part) {
		i := bytes.Index(data[at:], []byte(part))
		if i < 0 {
			return nixhash.Sum(nixhash.SHA256, text)
		}
		at += i
		text = fmt.Appendf(text, "|%d", at)
	}
}

func TestModulo(t *testing.T) {
	part := strings.Repeat("0", 31) + "1"
	if got, want := slowModulo([]byte("a"+part+"b"+part), part), nixhash.Sum(nixhash.SHA256, []byte("a"+strings.Repeat("\x00", 32)+"b"+strings.Repeat("\x00", 32)+"|1|34")); got != want {
		t.Errorf("the slow one says %v, want %v", got, want)
	}
	for _, text := range []string{"", "x", part, part + part, "0" + part, part[1:] + part + "0", strings.Repeat(part+"xy", 100), part[:31], "a" + part + part[:31]} {
		for piece := 1; piece < len(text)+2; piece++ {
			m := NewModulo(nixhash.SHA256, part)
			for from := 0; from < len(text); from += piece {
				m.Write([]byte(text[from:min(len(text), from+piece)]))
			}
			plain, got := m.Sums()
			if want := slowModulo([]byte(text), part); got != want {
				t.Fatalf("%q in pieces of %d: %v, want %v", text, piece, got, want)
			}
			zeros := strings.ReplaceAll(text, part, strings.Repeat("\x00", len(part)))
			if want := nixhash.Sum(nixhash.SHA256, []byte(zeros)); plain != want {
				t.Fatalf("%q in pieces of %d: without offsets %v, want %v", text, piece, plain, want)
			}
		}
	}
}
