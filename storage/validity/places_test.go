package validity

import (
	"fmt"
	"slices"
	"testing"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// A graph finds what is in it and nothing else, also by names that begin alike, and
// while it grows.
func TestFind(t *testing.T) {
	var nodes []Node
	for n := range 5000 {
		p, err := storepath.ParseBase(fmt.Sprintf("%032d-p%d", n/3*7, n)) // three share their hash part, all the first half of it
		must(t, err)
		nodes = append(nodes, Node{Path: p})
		if n%499 == 0 {
			nodes = append(nodes, Node{}) // one without a path
		}
	}
	g := NewGraph(nodes)
	for at, n := range nodes {
		got, found := g.Find(n.Path)
		if want := !n.Path.IsZero(); found != want || want && got != int32(at) {
			t.Fatalf("'%v' is at %d (%v), not at %d", n.Path, got, found, at)
		}
	}
	for _, other := range []string{"00000000000000000000000000000007-p0", "00000000000000000000000000000001-p1"} {
		p, err := storepath.ParseBase(other)
		must(t, err)
		if at, found := g.Find(p); found {
			t.Errorf("'%s' is at %d", other, at)
		}
	}
	for at, n := range nodes { // edges are told apart by the names where the hashes are the same
		if got, found := edge(g, []byte(n.Path.Base())); n.Path.IsZero() == found || found && got != int32(at) {
			t.Fatalf("an edge to '%v' leads to %d (%v), not to %d", n.Path, got, found, at)
		}
	}
	if _, found := (&Graph{}).Find(nodes[1].Path); found {
		t.Error("there is something in an empty graph")
	}
}

// Edges lead to what is in a graph and to nothing else, also where no two nodes have
// the same hash.
func TestEdges(t *testing.T) {
	var nodes []Node
	name := func(n int) storepath.Path {
		hash := nixhash.Sum(nixhash.SHA256, []byte(fmt.Sprint(n)))
		p, err := storepath.Dir("/nix/store").MakeFixed("p", storepath.NAR, hash, nil, false)
		must(t, err)
		return p
	}
	for n := range 5000 {
		nodes = append(nodes, Node{Path: name(n)})
	}
	g := NewGraph(nodes)
	if g.twins {
		t.Fatal("two nodes have the same hash")
	}
	for n := range 10_000 {
		if at, valid := edge(g, []byte(name(n).Base())); valid != (n < 5000) || valid && at != int32(n) {
			t.Fatalf("the edge to node %d leads to %d (%v)", n, at, valid)
		}
	}
	if _, valid := edge(&Graph{}, []byte(name(0).Base())); valid {
		t.Error("an edge leads into an empty graph")
	}
}

// Strings and lists that share their memory do not write over each other.
func TestPieces(t *testing.T) {
	var s texts
	var l numbers
	var strings []string
	var lists [][]int32
	for n := range 20_000 {
		strings = append(strings, s.of([]byte(fmt.Sprint("text-", n))))
		lists = append(lists, append(l.take(2), int32(n), int32(-n)))
	}
	big := append(l.take(pieceLength+1), 7)
	for n := range strings {
		if strings[n] != fmt.Sprint("text-", n) || !slices.Equal(lists[n], []int32{int32(n), int32(-n)}) {
			t.Fatalf("%d: %q, %v", n, strings[n], lists[n])
		}
	}
	if list := append(lists[0], 1); lists[1][0] != 1 || len(list) != 3 || len(big) != 1 {
		t.Errorf("a list has grown into the next: %v", lists[1])
	}
}

// BenchmarkGraph is of 20,000 paths with five references each.
func BenchmarkGraph(b *testing.B) {
	db := memory(b)
	var last, layer []storepath.Path
	for n := range 20_000 {
		hash := nixhash.Sum(nixhash.SHA256, []byte(fmt.Sprint(n)))
		p, err := storepath.Dir("/nix/store").MakeFixed("p", storepath.NAR, hash, nil, false)
		must(b, err)
		i := Info{Path: p, NarHash: hash, NarSize: 1, RegistrationTime: 1}
		for k := range min(5, len(last)) {
			i.References = append(i.References, last[(n*7+k*131)%len(last)])
		}
		i.References = sorted(i.References)
		must(b, db.RegisterProvisional(Registration{Paths: []Info{i}}))
		if layer = append(layer, p); len(layer) == 2000 {
			must(b, db.Commit(b.Context(), layer...))
			last, layer = layer, nil
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		_, err := db.Graph()
		must(b, err)
	}
}
