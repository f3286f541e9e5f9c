package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"testing"

	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// While paths are collected, clients lease them: one that is valid after that
// stays, with all that it refers to, for as long as it is leased.
func TestLeasesWhileCollecting(t *testing.T) {
	w := newWorld(t)
	const chains, length = 40, 12
	var lines []string
	for c := range chains {
		for n := range length {
			line := fmt.Sprintf("c%d-%d", c, n)
			if n > 0 {
				line += fmt.Sprintf(" c%d-%d", c, n-1)
			}
			lines = append(lines, line)
		}
	}
	w.valid(lines...)
	var clients sync.WaitGroup
	kept := make([]string, chains)
	begin := make(chan struct{})
	for c := range chains {
		clients.Go(func() {
			<-begin
			owner, name := fmt.Sprint("client ", c), fmt.Sprintf("c%d-%d", c, c%length)
			if err := w.Roots.Add(owner, named(name)); err != nil {
				t.Error(err)
				return
			}
			valid, err := w.DB.Valid(named(name))
			if err != nil {
				t.Error(err)
			}
			if valid {
				kept[c] = name
			}
			w.Roots.Drop("nobody")
		})
	}
	step := sync.OnceFunc(func() { close(begin) })
	w.step = func(string) { step() }
	w.collect(options(DeleteDead))
	step()
	clients.Wait()
	for c, name := range kept {
		for n := 0; name != "" && n <= c%length; n++ {
			p := named(fmt.Sprintf("c%d-%d", c, n))
			valid, err := w.DB.Valid(p)
			_, serr := os.Lstat(w.Layout.RealPath(p))
			if !valid || err != nil || serr != nil {
				t.Errorf("%s is leased, and of %s: valid %v, %v, %v", name, p.Name(), valid, err, serr)
			}
		}
	}
	w.there()
}

// A path that was added while a collection runs, and what it refers to, stay.
func TestAddedWhileCollecting(t *testing.T) {
	w := newWorld(t)
	w.valid("source", "other")
	once := sync.OnceFunc(func() { w.provisional("new source") })
	w.step = func(string) { once() }
	w.collect(options(DeleteDead))
	w.want("left", w.there(), "new source")
}

// What was leased when a collection began is not deleted in it, even if it was
// dropped: its permanent root may have come too late to be seen.
func TestDroppedWhileCollecting(t *testing.T) {
	w := newWorld(t)
	w.valid("built", "other")
	must(t, w.Roots.Add("goal", named("built")))
	dropped := false
	o := options(DeleteDead)
	o.Talk = func(line string) {
		if line == "deleting garbage..." { // the roots were read
			w.root("result", w.path("built"))
			w.Roots.Drop("goal")
			dropped = true
		}
	}
	w.want("deleted", w.names(w.collect(o).Paths), "other")
	if !dropped {
		t.Error("it was not dropped meanwhile")
	}
	w.want("left", w.there(), "built")
}

// A client that never reads what it is told holds up its own collection and
// nobody else.
func TestTalkHoldsNobodyUp(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "b")
	talks, resume := make(chan struct{}), make(chan struct{})
	o := options(DeleteDead)
	o.Talk = func(line string) {
		if line == fmt.Sprintf("deleting '%s'", w.path("a")) {
			close(talks)
			<-resume
		}
	}
	finished := make(chan error)
	go func() {
		_, err := w.Collect(context.Background(), o)
		finished <- err
	}()
	<-talks
	must(t, w.Roots.Add("client", named("a")))
	if valid, err := w.DB.Valid(named("a")); valid || err != nil {
		t.Error("it is valid, and its files are deleted:", err)
	}
	if _, err := os.Lstat(w.path("a")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("it is not valid, and its files are there:", err)
	}
	close(resume)
	must(t, <-finished)
}

// Two collections at once take turns, and both end.
func TestCollectionsTakeTurns(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "b", "c")
	var both sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 2 {
		both.Go(func() {
			r, err := w.Collect(context.Background(), options(DeleteDead))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			total += len(r.Paths)
		})
	}
	both.Wait()
	if total != 3 {
		t.Errorf("%d paths were deleted, want 3", total)
	}
}

// slowLive is the definition: a path is live if it is marked, or a live one
// needs it.
func slowLive(nodes []validity.Node, marked map[int32]bool, derivations, outputs bool) map[int32]bool {
	live := map[int32]bool{}
	for at := range marked {
		live[at] = true
	}
	for {
		before := len(live)
		for at, n := range nodes {
			if !live[int32(at)] {
				continue
			}
			for _, r := range n.References {
				live[r] = true
			}
			if derivations && n.Deriver >= 0 {
				live[n.Deriver] = true
			}
			for _, o := range n.Outputs {
				if outputs {
					live[o] = true
				}
			}
		}
		if len(live) == before {
			return live
		}
	}
}

func TestSlowLive(t *testing.T) {
	nodes := []validity.Node{{Deriver: 1, References: []int32{2}}, {Deriver: -1, Outputs: []int32{0}}, {Deriver: -1}, {Deriver: -1, References: []int32{0}}}
	for _, c := range []struct {
		from                 int32
		derivations, outputs bool
		want                 string
	}{{0, false, false, "map[0:true 2:true]"}, {0, true, false, "map[0:true 1:true 2:true]"},
		{1, false, true, "map[0:true 1:true 2:true]"}, {2, true, true, "map[2:true]"}, {3, false, true, "map[0:true 2:true 3:true]"}} {
		if got := fmt.Sprint(slowLive(nodes, map[int32]bool{c.from: true}, c.derivations, c.outputs)); got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}

// FuzzLiveness holds marks and order against the definition, on any graph.
func FuzzLiveness(f *testing.F) {
	f.Add([]byte{7, 3, 1, 2, 0, 4, 9, 30, 12, 7, 7, 1, 200, 201, 3})
	f.Add([]byte{60, 2, 1, 0, 2, 1, 0, 60, 59, 58, 3, 3, 2, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		nodes, marked := graphOf(data)
		if len(nodes) == 0 {
			return
		}
		derivations, outputs := data[0]&1 != 0, data[0]&2 != 0
		l := newLiveness(validity.NewGraph(nodes), derivations, outputs)
		for at := range marked {
			l.mark(at)
		}
		want := slowLive(nodes, marked, derivations, outputs)
		turn := map[int32]int{}
		for n, group := range l.dead() {
			for _, at := range group {
				if _, twice := turn[at]; twice {
					t.Fatalf("%d is in two groups", at)
				}
				turn[at] = n
			}
		}
		for at, n := range nodes {
			when, dead := turn[int32(at)]
			if dead == want[int32(at)] {
				t.Fatalf("%d: live %v, dead %v", at, want[int32(at)], dead)
			}
			for _, r := range n.References {
				if after, also := turn[r]; dead && also && after < when {
					t.Fatalf("%d goes before %d, which refers to it", r, at)
				}
			}
		}
	})
}

// graphOf makes a graph from bytes: each three are a path and what is said of it
// and another.
func graphOf(data []byte) (nodes []validity.Node, marked map[int32]bool) {
	marked = map[int32]bool{}
	if len(data) < 2 {
		return nil, marked
	}
	count := int32(data[1])%64 + 1
	for n := range count {
		p, err := storepath.ParseBase(fmt.Sprintf("%032d-p", n))
		if err != nil {
			panic(err)
		}
		nodes = append(nodes, validity.Node{Path: p, Deriver: -1})
	}
	for data = data[2:]; len(data) >= 3; data = data[3:] {
		a, b := int32(data[0])%count, int32(data[1])%count
		switch data[2] % 6 {
		case 0:
			marked[a] = true
		case 1:
			nodes[a].Deriver = b
		case 2:
			nodes[a].Outputs = append(nodes[a].Outputs, b)
		default:
			nodes[a].References = append(nodes[a].References, b)
		}
	}
	return nodes, marked
}

// A chain as long as a store is large.
func TestLongChain(t *testing.T) {
	const length = 300_000
	nodes := make([]validity.Node, length)
	for n := range nodes {
		nodes[n] = validity.Node{Deriver: -1}
		if n > 0 {
			nodes[n].References = []int32{int32(n - 1)}
		}
	}
	l := newLiveness(validity.NewGraph(nodes), true, true)
	l.mark(length / 2)
	if dead := l.dead(); len(dead) != length/2-1 || dead[0][0] != length-1 {
		t.Errorf("%d groups", len(dead))
	}
}

// BenchmarkCollect collects 10,000 dead paths, files or trees of one file.
func BenchmarkCollect(b *testing.B) {
	for _, kind := range []string{"file", "tree"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				w := newWorld(b)
				var lines []string
				for n := range 10_000 {
					line := fmt.Sprint(kind, n)
					for r := max(0, n-3); r < n; r++ {
						line += fmt.Sprint(" ", kind, r)
					}
					lines = append(lines, line)
				}
				w.valid(lines...)
				b.StartTimer()
				if r := w.collect(options(DeleteDead)); len(r.Paths) != 10_000 {
					b.Fatal(len(r.Paths))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/10_000, "µs/path")
		})
	}
}

// A leftover that is leased after the store was listed stays: its builder may
// have begun.
func TestLeftoverLeasedMeanwhile(t *testing.T) {
	w := newWorld(t)
	must(t, os.Mkdir(w.path("left"), 0o755))
	run, err := w.Roots.Collect(t.Context(), nil)
	must(t, err)
	s := &sweep{c: w.Collector, o: options(DeleteDead), run: run}
	must(t, s.open())
	s.l, err = w.look(t.Context(), s.o)
	must(t, err)
	must(t, w.Roots.Add("goal", named("left")))
	for _, want := range []bool{false, true} {
		if gone, err := s.leftover(named("left").Base()); gone != want || err != nil {
			t.Errorf("deleted: %v, %v", gone, err)
		}
		s.l.leased = map[string]struct{}{}
	}
	must(t, errors.Join(s.close(), run.End()))
}
