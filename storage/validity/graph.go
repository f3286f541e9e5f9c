package validity

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/storepath"
)

// Node is a valid path as [DB.Graph] saw it. Numbers are places in the graph.
type Node struct {
	Path        storepath.Path
	References  []int32
	Deriver     int32   // -1 where it is unknown or not valid
	Outputs     []int32 // of a derivation: those that are valid
	NarSize     uint64  // bytes
	Provisional bool
}

// Graph returns all valid paths of one moment, in the order of their names
// within the durable and within the provisional ones.
func (db *DB) Graph() (*Graph, error) {
	g := &grapher{}
	db.overlay.mu.RLock()
	records, err := db.iterate([]byte{keyInfo})
	var outputs, traces *pebble.Iterator
	if err == nil {
		outputs, err = db.iterate([]byte{keyOutput})
	}
	if err == nil {
		traces, err = db.iterate([]byte{keyTrace})
	}
	pending, told := db.pendingGraph()
	db.overlay.mu.RUnlock()
	if err == nil {
		err = g.read(records, outputs, pending, told)
	}
	if err == nil {
		err = g.traces(traces)
	}
	db.asked.viewed.Add(int64(len(g.Nodes)))
	for _, iter := range []*pebble.Iterator{records, outputs, traces} {
		if iter != nil {
			err = errors.Join(err, iter.Close())
		}
	}
	return &g.Graph, err
}

// output is one that a derivation was told to have.
type output struct{ drv, path storepath.Path }

// pendingGraph is what is provisional; under overlay.mu.
func (db *DB) pendingGraph() (infos []Info, told []output) {
	for _, at := range db.overlay.infos {
		infos = append(infos, at.info)
	}
	for drv, units := range db.overlay.drvs {
		for _, u := range units {
			for _, p := range u.reg.Outputs {
				told = append(told, output{drv, p})
			}
		}
	}
	return infos, append(told, db.overlay.pendingTraces()...)
}

// grapher reads names first, so that each reference costs one look-up and no
// string.
type grapher struct {
	Graph
	texts   texts
	numbers numbers
}

func (g *grapher) read(records, outputs *pebble.Iterator, pending []Info, told []output) error {
	if err := g.names(records, pending); err != nil {
		return err
	}
	for n, ok := 0, records.First(); ok; n, ok = n+1, records.Next() {
		if err := g.record(&g.Nodes[n], records.Value()); err != nil {
			return corrupt(records.Key(), err)
		}
	}
	for _, i := range pending {
		at, _ := g.Find(i.Path)
		g.pending(&g.Nodes[at], i)
	}
	for _, o := range told {
		g.output([]byte(o.drv.Base()), []byte(o.path.Base()))
	}
	for ok := outputs.First(); ok; ok = outputs.Next() {
		drv, _, _ := bytes.Cut(outputs.Key()[1:], []byte{0})
		g.output(drv, outputs.Value())
	}
	return errors.Join(records.Error(), outputs.Error())
}

// names gives each path its place: the durable ones in the order of their
// records.
func (g *grapher) names(records *pebble.Iterator, pending []Info) error {
	for ok := records.First(); ok; ok = records.Next() {
		p, err := storepath.ParseBase(g.texts.of(records.Key()[1:]))
		if err != nil {
			return corrupt(records.Key(), err)
		}
		g.Add(Node{Path: p, Deriver: -1})
	}
	for _, i := range pending {
		if _, committed := g.Find(i.Path); !committed {
			g.Add(Node{Path: i.Path, Deriver: -1})
		}
	}
	return records.Error()
}

// record reads as much of a record as the graph has of it.
func (g *grapher) record(n *Node, record []byte) error {
	d := decoder{rest: record}
	d.version(infoVersion)
	count := d.count()
	n.References = g.numbers.take(int(count))
	for range count {
		if at, valid := edge(&g.Graph, d.bytes()); valid {
			n.References = append(n.References, at)
		}
	}
	d.bytes() // the algorithm
	d.bytes() // the digest
	n.NarSize = d.uvarint()
	if at, valid := edge(&g.Graph, d.bytes()); valid {
		n.Deriver = at
	}
	return d.err
}

func (g *grapher) pending(n *Node, i Info) {
	*n = Node{Path: i.Path, Deriver: -1, NarSize: i.NarSize, Provisional: true}
	for _, r := range i.References {
		if at, valid := g.Find(r); valid {
			n.References = append(n.References, at)
		}
	}
	if at, valid := g.Find(i.Deriver); valid {
		n.Deriver = at
	}
}

// output notes one of a derivation's, where both are valid.
func (g *grapher) output(drv, path []byte) {
	from, valid := edge(&g.Graph, drv)
	to, there := edge(&g.Graph, path)
	if valid && there {
		g.Nodes[from].Outputs = append(g.Nodes[from].Outputs, to)
	}
}
