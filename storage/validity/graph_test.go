package validity

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"troupe/storage/storepath"
)

// graphText shows a graph, a line a path, sorted.
func graphText(nodes []Node) string {
	name := func(at int32) string { return nodes[at].Path.Name() }
	var lines []string
	for _, n := range nodes {
		line := n.Path.Name()
		if n.Provisional {
			line += " (provisional)"
		}
		for _, r := range n.References {
			line += " ->" + name(r)
		}
		if n.Deriver >= 0 {
			line += " by " + name(n.Deriver)
		}
		for _, o := range n.Outputs {
			line += " makes " + name(o)
		}
		lines = append(lines, fmt.Sprint(line, " ", n.NarSize))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestGraph(t *testing.T) {
	db := memory(t)
	made := func(name, drv string, refs ...string) Info {
		i := info(name, refs...)
		i.Deriver = named(drv)
		return i
	}
	build := func(drv string, out Info) Registration {
		return Registration{Paths: []Info{out}, Drv: named(drv), Outputs: map[string]storepath.Path{"out": out.Path}}
	}
	must(t, db.RegisterProvisional(reg(info("libc"), info("a.drv"), info("self", "self", "libc"))))
	must(t, db.RegisterProvisional(build("a.drv", made("a", "a.drv", "libc")), build("lost.drv", made("b", "lost.drv"))))
	commit(t, db, "self", "a", "b")
	must(t, db.RegisterProvisional(reg(info("c.drv"))))
	must(t, db.RegisterProvisional(build("c.drv", made("c", "c.drv", "a", "libc"))))
	graph, err := db.Graph()
	must(t, err)
	const want = `a ->libc by a.drv 120
a.drv makes a 120
b 120
c (provisional) ->libc ->a by c.drv 120
c.drv (provisional) makes c 120
libc 120
self ->libc ->self 120`
	if got := graphText(graph.Nodes); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
