package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestKill kills the service with -9 at random moments under load, and looks
// each time at what is left: all that was acknowledged is valid, all that is
// valid is whole and has its closure, whoever comes next cleans up and gets
// everything done, and what was recorded replays up to where it is cut.
//
// TROUPE_KILLS is how often (a soak is 1000), TROUPE_SEED what the moments are
// chosen from; the seed of a run is logged. As root and as an ordinary user.
func TestKill(t *testing.T) {
	needBuilds(t)
	kills := number(t, "TROUPE_KILLS", 20)
	seed := number(t, "TROUPE_SEED", int(time.Now().UnixNano()%1_000_000))
	t.Logf("TROUPE_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	done := 0
	for n := 0; done < kills; n++ {
		k := newKiller(t, rng, n)
		for range min(killsAStore/killsAGraph, (kills-done+killsAGraph-1)/killsAGraph) {
			done += k.graph()
		}
		if t.Failed() {
			t.Fatalf("after %d kills, with TROUPE_SEED=%d", done, seed)
		}
	}
	t.Logf("killed %d times", done)
}

// A store is used until looking at all of it takes long, and a graph until most
// of it may be there.
const (
	killsAStore = 50
	killsAGraph = 5
)

func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(variable), strconv.Itoa(otherwise)))
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// killer works on one store.
type killer struct {
	*testStore
	rng    *rand.Rand
	work   string
	number int // of the store
	graphs int
	span   time.Duration // that a whole run takes, about
	acked  map[string]bool
	uids   [2]int // of builders: from, to
}

func newKiller(t *testing.T, rng *rand.Rand, number int) *killer {
	t.Helper()
	work := tempDir(t)
	k := &killer{rng: rng, work: work, number: number, span: time.Second, acked: map[string]bool{}}
	k.testStore = newTestStore(t, work, work+"/root")
	if os.Geteuid() == 0 { // ids that nobody else's builders have
		k.uids[0] = 1_100_000_000 + os.Getpid()%100_000*1000
		k.uids[1] = k.uids[0] + 100
		k.flags = []string{"--option", "auto-allocate-uids", "true", "--option", "start-id", strconv.Itoa(k.uids[0]), "--option", "id-count", "100"}
	}
	k.addBusybox(work)
	return k
}

// graph kills builds of a new graph, and lets one end. It returns how often it
// killed.
func (k *killer) graph() (kills int) {
	k.t.Helper()
	k.graphs++
	salt := fmt.Sprintf("%d%02d", k.number, k.graphs)
	dir := filepath.Join(k.work, "graph"+salt)
	if err := os.Mkdir(dir, 0o755); err != nil {
		k.t.Fatal(err)
	}
	g := k.writeGraph(dir, salt, k.rng)
	for kills < killsAGraph {
		if k.strike(k.some(g, dir)) {
			kills++
		}
		k.lookAtJournal()
		k.look()
	}
	k.complete(g, salt)
	return kills
}

// some is a command that is killed: most often it builds a part of the graph.
func (k *killer) some(g recipes, dir string) []string {
	if k.rng.IntN(6) == 0 {
		return []string{"store", "add", "-n", fmt.Sprint("tree-", k.rng.Uint32()), dir}
	}
	args := []string{"build", fmt.Sprint("-j", 1+k.rng.IntN(6)), "--keep-going"}
	all := append(append([]*recipe{}, g.good...), g.bad...)
	for range 1 + k.rng.IntN(12) {
		args = append(args, all[k.rng.IntN(len(all))].file)
	}
	if k.rng.IntN(3) == 0 {
		args = append(args, g.stuck.file)
	}
	return args
}

// strike runs a command and kills it at a moment before it would have ended, as
// far as that is known, notes the paths of all lines that it printed whole, and
// says whether it was killed.
func (k *killer) strike(args []string) bool {
	k.t.Helper()
	delay := time.Duration(k.rng.Int64N(int64(k.span)))
	if k.rng.IntN(5) == 0 { // it opens the store and cleans up
		delay = time.Duration(k.rng.Int64N(int64(20 * time.Millisecond)))
	}
	out, said := k.file("stdout"), k.file("stderr") // not pipes, which what it leaves behind would hold open
	defer out.Close()
	defer said.Close()
	cmd := k.command(args...)
	cmd.Stdout, cmd.Stderr = out, said
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	timer := time.AfterFunc(delay, func() { cmd.Process.Kill() }) // which may be over
	err := cmd.Wait()
	timer.Stop()
	if text := k.read(said); err != nil && cmd.ProcessState.Exited() && !strings.Contains(text, "error: build of ") {
		k.t.Errorf("troupe %s: %v\n%s", args[0], err, text)
	}
	for line := range strings.Lines(k.read(out)) {
		if path, whole := strings.CutSuffix(line, "\n"); whole {
			k.acked[path] = true
		}
	}
	return !cmd.ProcessState.Exited()
}

func (k *killer) file(name string) *os.File {
	k.t.Helper()
	f, err := os.Create(filepath.Join(k.work, name))
	if err != nil {
		k.t.Fatal(err)
	}
	return f
}

func (k *killer) read(f *os.File) string {
	k.t.Helper()
	text, err := os.ReadFile(f.Name())
	if err != nil {
		k.t.Fatal(err)
	}
	return string(text)
}

// complete builds the graph to its end; nothing is left then but the store.
func (k *killer) complete(g recipes, salt string) {
	k.t.Helper()
	args := []string{"build", "-j4", "--keep-going"}
	for _, r := range append(append([]*recipe{}, g.good...), g.bad...) {
		args = append(args, r.file)
	}
	began := time.Now()
	o := k.want(100, args...)
	k.span = min(k.span, time.Since(began))
	for _, r := range g.good {
		for _, p := range r.paths {
			if path := storeDir.Join(p); !strings.Contains(o.stdout, path+"\n") {
				k.t.Errorf("%s was not built", path)
			}
			k.acked[storeDir.Join(p)] = true
		}
	}
	valid := k.look()
	for _, r := range g.bad {
		for _, p := range r.paths {
			if valid[storeDir.Join(p)] {
				k.t.Errorf("%s is valid, and its builder failed", p)
			}
		}
	}
	k.lookForRest(salt)
}
