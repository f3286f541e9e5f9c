package ports

import (
	"testing"
	"unsafe"

	"troupe/storage/storepath"
)

// TestNames: whoever names a path has the same text, which is not a part of what it
// was read from; and it is not remembered without end.
func TestNames(t *testing.T) {
	var n names
	text := func(p storepath.Path) *byte { return unsafe.StringData(p.Base()) }
	read := func(file string) storepath.Path {
		p, err := storepath.ParseBase(file[len("/nix/store/"):])
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	one, other := read("/nix/store/00000000000000000000000000000000-a"), read(string([]byte("/nix/store/00000000000000000000000000000000-a")))
	first := n.path(one)
	if first != one || text(first) == text(one) {
		t.Errorf("%v is remembered as a part of what it was read from", first)
	}
	if again := n.paths([]storepath.Path{other}); text(again[0]) != text(first) {
		t.Error("a path that is named twice has two texts")
	}
	for i := range 2 * namesMost {
		base := []byte("00000000000000000000000000000000-a")
		for digit := 0; i > 0; digit, i = digit+1, i/10 {
			base[digit] = '0' + byte(i%10)
		}
		n.path(read("/nix/store/" + string(base)))
	}
	if len(n.known) > namesMost {
		t.Errorf("%d paths are remembered", len(n.known))
	}
}
