package validity

import (
	"encoding/binary"
	"hash/maphash"
	"strings"

	"troupe/storage/storepath"
)

// Graph is the valid paths of one moment, by number.
type Graph struct {
	Nodes []Node
	// slots is a hash table of places. Of some million paths a map of Go's would hold
	// the names twice, and have all of them looked at whenever memory is collected.
	slots []slot
	twins bool // two nodes have the same hash
}

// slot is a place in the table. The hash saves a look at names that are others, and with
// [edge] at all of them.
type slot struct {
	hash uint64
	plus int32 // the place in the graph, plus one; 0 where there is none
}

// NewGraph makes a graph of nodes, which have different paths or none.
func NewGraph(nodes []Node) *Graph {
	g := &Graph{}
	for _, n := range nodes {
		g.Add(n)
	}
	return g
}

// Find is the place of a path.
func (g *Graph) Find(p storepath.Path) (at int32, valid bool) { return find(g, p.Base()) }

// find is the place of a path by its base name.
func find[S string | []byte](g *Graph, base S) (at int32, valid bool) {
	if len(g.slots) == 0 {
		return 0, false
	}
	hash := hashOf(base)
	for n := g.first(hash); ; n = g.next(n) {
		s := g.slots[n]
		if s.plus == 0 {
			return 0, false
		}
		if s.hash == hash && g.Nodes[s.plus-1].Path.Base() == string(base) {
			return s.plus - 1, true
		}
	}
}

// edge is find for what a valid path refers to. It goes by the hash, where no two
// nodes share theirs: to look at the name as well costs two accesses to memory that is
// in no cache, which were half of the time that a graph takes. Should something that is
// not valid have the hash of something that is, that is needed by one more.
func edge(g *Graph, base []byte) (at int32, valid bool) {
	if g.twins || len(g.slots) == 0 {
		return find(g, base)
	}
	hash := hashOf(base)
	for n := g.first(hash); g.slots[n].plus != 0; n = g.next(n) {
		if g.slots[n].hash == hash {
			return g.slots[n].plus - 1, true
		}
	}
	return 0, false
}

func (g *Graph) first(hash uint64) int { return int(hash >> 32 & uint64(len(g.slots)-1)) }
func (g *Graph) next(n int) int        { return (n + 1) & (len(g.slots) - 1) }

// Add adds a node, whose path none of the others has.
func (g *Graph) Add(n Node) {
	g.Nodes = append(g.Nodes, n)
	if 2*len(g.Nodes) > len(g.slots) {
		g.grow()
		return
	}
	g.place(len(g.Nodes) - 1)
}

// minSlots is a power of two, as the number of slots always is.
const minSlots = 1 << 10

func (g *Graph) grow() {
	g.slots = make([]slot, max(minSlots, 2*len(g.slots)))
	for at := range g.Nodes {
		g.place(at)
	}
}

func (g *Graph) place(at int) {
	base := g.Nodes[at].Path.Base()
	if base == "" {
		return
	}
	hash := hashOf(base)
	n := g.first(hash)
	for g.slots[n].plus != 0 {
		g.twins = g.twins || g.slots[n].hash == hash
		n = g.next(n)
	}
	g.slots[n] = slot{hash, int32(at) + 1}
}

// hashOf mixes the beginning of a base name, 80 bits of a hash that nobody chooses:
// eight characters of five bits each in two words.
func hashOf[S string | []byte](base S) uint64 {
	var head [16]byte
	copy(head[:], base)
	a, b := binary.LittleEndian.Uint64(head[:8]), binary.LittleEndian.Uint64(head[8:])
	return (a^seed)*0x9e3779b97f4a7c15 ^ (b^seed)*0xc2b2ae3d27d4eb4f
}

// seed differs in each process, for those who look for names that collide.
var seed = maphash.Bytes(maphash.MakeSeed(), nil)

// texts makes strings, many in one piece of memory.
type texts struct{ piece strings.Builder }

const pieceSize = 64 << 10 // bytes

func (t *texts) of(b []byte) string {
	if t.piece.Cap()-t.piece.Len() < len(b) {
		t.piece = strings.Builder{}
		t.piece.Grow(max(pieceSize, len(b)))
	}
	from := t.piece.Len()
	t.piece.Write(b)
	return t.piece.String()[from:]
}

// numbers has room for lists of places, many in one piece of memory.
type numbers struct{ free []int32 }

const pieceLength = 16 << 10

// take is an empty list with room for n.
func (l *numbers) take(n int) []int32 {
	if len(l.free) < n {
		l.free = make([]int32, max(pieceLength, n))
	}
	list := l.free[:0:n]
	l.free = l.free[n:]
	return list
}
