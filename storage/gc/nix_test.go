package gc

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/registration"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// nix runs nix-store on the same directories. It gives up a collection, before it has
// done anything, where any process of the machine is in a directory whose name is too
// long for a link; some tests have such, and run beside these.
func (w *world) nix(stdin []byte, args ...string) (out, talk string, err error) {
	w.t.Helper()
	for range 100 {
		out, talk, err = w.tryNix(stdin, args...)
		if err == nil || !strings.Contains(talk, "error: reading symlink: File name too long") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return out, talk, err
}

func (w *world) tryNix(stdin []byte, args ...string) (out, talk string, err error) {
	w.t.Helper()
	c := exec.Command("nix-store", args...)
	c.Stdin = bytes.NewReader(stdin)
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	c.Env = w.nixEnv()
	err = c.Run()
	must(w.t, localstore.Prepare(w.Layout, "")) // Nix deletes what is called as no store path is, even when it only prints
	return stdout.String(), stderr.String(), err
}

func (w *world) nixEnv() []string {
	w.t.Helper()
	must(w.t, os.WriteFile(w.dir()+"/nix.conf", []byte("build-users-group =\n"), 0o644))
	return append(os.Environ(), "NIX_REMOTE=", "NIX_STORE_DIR="+string(w.Layout.Dir), "NIX_STATE_DIR="+w.Layout.StateDir,
		"NIX_LOG_DIR="+w.Layout.LogDir, "NIX_CONF_DIR="+w.dir(), "NIX_USER_CONF_FILES=", "HOME="+w.dir())
}

// nixHas gives Nix what we have.
func (w *world) nixHas() {
	w.t.Helper()
	var dump bytes.Buffer
	writer := registration.NewWriter(&dump, w.Layout.Dir, registration.Dump)
	for i, err := range w.DB.All() {
		must(w.t, err)
		must(w.t, writer.Write(i))
	}
	must(w.t, writer.Flush())
	if _, talk, err := w.nix(dump.Bytes(), "--load-db"); err != nil {
		w.t.Fatal(err, talk)
	}
}

func needNix(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("nix-store"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nix-store is missing")
		}
		t.Skip("nix-store is missing")
	}
}

func lines(text string) []string {
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// oddRoots is what may be found among roots; %s is the test's directory.
func (w *world) oddRoots() {
	dir := w.dir()
	w.root("direct", w.path("p1"))
	w.root("deep/er/inside", w.path("p2")+"/bin/x")
	w.root("../profiles/system-1-link", w.path("p3"))
	w.root("../profiles/system", "system-1-link")
	w.root("auto/good", dir+"/result")
	must(w.t, os.Symlink(w.path("p4"), dir+"/result"))
	w.root("relative", "../../result")
	w.root("auto/gone", dir+"/no/such/result")
	w.root("auto/sub/gone", dir+"/no/such/result")
	w.root("auto/file", w.Layout.StateDir+"/troupe")
	w.root("elsewhere", dir+"/no/such/result")
	w.root("invalid", w.path("nothing"))
	must(w.t, os.Symlink(dir+"/state/gcroots/direct", dir+"/second"))
	w.root("auto/two-away", dir+"/second")
	must(w.t, os.WriteFile(w.Layout.StateDir+"/gcroots/"+named("p5").Base(), nil, 0o644))
	must(w.t, os.WriteFile(w.Layout.StateDir+"/temproots/1", []byte(w.path("p6")+"\x00"), 0o600))
}

// Nix finds the same roots, of links and of processes, and removes the same.
func TestRootsAsNix(t *testing.T) {
	needNix(t)
	w := newWorld(t)
	w.proc = "/proc"
	w.valid("p1", "p2", "p3", "p4", "p5", "p6", "tree-cwd", "open", "env", "gone")
	w.nixHas()
	w.oddRoots()
	living, err := os.Open(w.Layout.StateDir + "/temproots/1")
	must(t, err)
	defer living.Close()
	must(t, unix.Flock(int(living.Fd()), unix.LOCK_EX))
	open, err := os.Open(w.path("open"))
	must(t, err)
	defer open.Close()
	process := exec.Command("sleep", "1000")
	process.Dir = w.path("tree-cwd")
	process.Env = []string{"A=:" + w.path("env") + "/bin:" + w.path("gone") + "-not:" + w.path("nothing")}
	process.ExtraFiles = []*os.File{open}
	must(t, process.Start())
	defer func() { must(t, process.Process.Kill()); _ = process.Wait() }()
	must(t, w.Roots.Add("", named("p1")))

	ours, _ := w.findRoots() // which removes stale links before Nix does
	var got []string
	for _, r := range ours {
		got = append(got, r.Link+" -> "+w.Layout.Dir.Join(r.Path))
	}
	out, talk, err := w.nix(nil, "--gc", "--print-roots")
	must(t, err)
	want := lines(out)
	if strings.Contains(talk, "stale") {
		t.Error("stale links were left:", talk)
	}
	if !slices.Equal(got, want) {
		t.Errorf("ours:\n%s\nNix's:\n%s", strings.Join(got, "\n"), out)
	}
	if len(want) < 11 {
		t.Errorf("only %d roots were compared", len(want))
	}
	must(t, os.RemoveAll(w.Layout.StateDir+"/gcroots"))
	w.oddLinksOnly()
	_, talk, err = w.nix(nil, "--gc", "--print-roots")
	must(t, err)
	nixLeft := treeOf(t, w.Layout.StateDir+"/gcroots")
	must(t, os.RemoveAll(w.Layout.StateDir+"/gcroots"))
	w.oddLinksOnly()
	_, said := w.findRoots()
	said = strings.ReplaceAll(said, "$D", w.dir())
	nixSaid := lines(talk)
	slices.Sort(nixSaid)
	if said != strings.Join(nixSaid, "\n") {
		t.Errorf("we say:\n%s\nNix:\n%s", said, talk)
	}
	if left := slices.DeleteFunc(nixLeft, func(s string) bool { return strings.Contains(s, "per-user") || strings.HasSuffix(s, "/profiles") }); !slices.Equal(left, treeOf(t, w.Layout.StateDir+"/gcroots")) {
		t.Errorf("Nix leaves %q, we %q", left, treeOf(t, w.Layout.StateDir+"/gcroots"))
	}
}

func (w *world) oddLinksOnly() {
	w.root("auto/gone", w.dir()+"/no/such/result")
	w.root("auto/sub/gone", w.dir()+"/no/such/result")
	w.root("elsewhere", w.dir()+"/no/such/result")
	w.root("invalid", w.path("nothing"))
}

func treeOf(t *testing.T, dir string) (all []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	}))
	return all
}

// Any graph is divided by Nix into the same live and dead paths, and the same are
// deleted.
func TestLivenessAsNix(t *testing.T) {
	needNix(t)
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t)
		w.proc = "/proc"
		g := w.randomGraph(r)
		g.fill()
		for n := range 3 {
			w.root(fmt.Sprint("r", n), w.Layout.Dir.Join(g.pick(r)))
		}
		must(t, os.Mkdir(w.path("leftover"), 0o755))
		for _, keep := range [][2]bool{{true, false}, {false, false}, {false, true}, {true, true}} {
			o := options(ReturnLive)
			o.KeepDerivations, o.KeepOutputs = keep[0], keep[1]
			settings := []string{"--option", "keep-derivations", fmt.Sprint(keep[0]), "--option", "keep-outputs", fmt.Sprint(keep[1])}
			for action, flag := range map[Action]string{ReturnLive: "--print-live", ReturnDead: "--print-dead"} {
				o.Action = action
				if got, want := w.collect(o).Paths, w.nixPrints(append([]string{"--gc", flag}, settings...)...); !slices.Equal(got, want) {
					t.Errorf("seed %d, %v, %s: ours %s, Nix's %s", seed, keep, flag, w.names(got), w.names(want))
				}
			}
			g.sameSpecific(r, o, settings)
		}
		ours := w.collect(options(DeleteDead))
		nix := w.nixPrints("--gc", "--print-live")
		if len(ours.Paths)+len(nix) != len(g.infos)+1 { // with the leftover
			t.Errorf("seed %d: we deleted %d paths, Nix keeps %d, of %d", seed, len(ours.Paths), len(nix), len(g.infos))
		}
	}
}

// nixPrints are paths that Nix prints; it does not know our staging directory.
func (w *world) nixPrints(args ...string) []string {
	w.t.Helper()
	out, talk, err := w.nix(nil, args...)
	if err != nil {
		w.t.Fatal(err, talk)
	}
	return slices.DeleteFunc(lines(out), func(s string) bool { return filepath.Base(s) == filepath.Base(w.Layout.StagingDir()) })
}

// graph is derivations that Nix instantiated, and outputs of most of them.
type graph struct {
	*world
	infos []validity.Info // each after all it refers to
	files map[storepath.Path][]byte
	outs  map[storepath.Path]storepath.Path // by derivation
}

func (g *graph) pick(r *rand.Rand) storepath.Path { return g.infos[r.IntN(len(g.infos))].Path }

func (w *world) randomGraph(r *rand.Rand) *graph {
	w.t.Helper()
	const count = 8
	expr, list := `let x = name: deps: derivation { inherit name deps; system = "x"; builder = "/bin/sh"; };`, ""
	for n := range count {
		deps := ""
		for d := range n {
			if r.IntN(3) == 0 {
				deps += fmt.Sprint(" p", d)
			}
		}
		expr += fmt.Sprintf(" p%d = x \"p%d\" [%s ];", n, n, deps)
		list += fmt.Sprint(" p", n)
	}
	c := exec.Command("nix-instantiate", "-E", expr+" in ["+list+" ]")
	c.Env = w.nixEnv()
	printed, err := c.Output()
	must(w.t, err)
	g := &graph{world: w, files: map[storepath.Path][]byte{}, outs: map[storepath.Path]storepath.Path{}}
	dump, talk, err := w.nix(nil, "--dump-db")
	if err != nil {
		w.t.Fatal(err, talk)
	}
	for reader := registration.NewReader(strings.NewReader(dump), w.Layout.Dir, registration.Dump); ; {
		info, err := reader.Read()
		if err == io.EOF {
			break
		}
		must(w.t, err)
		g.infos = append(g.infos, info)
		g.files[info.Path], err = os.ReadFile(w.Layout.RealPath(info.Path))
		must(w.t, err)
	}
	for _, path := range lines(string(printed)) {
		g.output(r, path)
	}
	return g
}

// output makes the output of a derivation, perhaps; its deriver is that one, or
// another, or nobody knows.
func (g *graph) output(r *rand.Rand, path string) {
	p, err := g.Layout.Dir.Parse(path)
	must(g.t, err)
	d, err := derivation.Parse(g.Layout.Dir, strings.TrimSuffix(p.Name(), ".drv"), g.files[p])
	must(g.t, err)
	g.outs[p] = d.Outputs[0].Path
	if r.IntN(4) == 0 {
		return
	}
	i := parsed(d.Name).Paths[0]
	i.Path = d.Outputs[0].Path
	switch r.IntN(6) {
	case 0:
	case 1:
		i.Deriver = g.infos[0].Path
	case 2:
		i.Deriver = named("unknown.drv")
	default:
		i.Deriver = p
	}
	for range r.IntN(4) {
		i.References = append(i.References, g.pick(r))
	}
	if r.IntN(4) == 0 {
		i.References = append(i.References, i.Path)
	}
	slices.SortFunc(i.References, storepath.Path.Compare)
	i.References = slices.Compact(i.References)
	g.infos, g.files[i.Path] = append(g.infos, i), []byte("x")
}

// fill makes everything valid, here and with Nix.
func (g *graph) fill() {
	g.t.Helper()
	var paths []storepath.Path
	regs := []validity.Registration{{Paths: g.infos}}
	for _, i := range g.infos {
		paths = append(paths, i.Path)
		must(g.t, removeAll(g.Layout.RealPath(i.Path)))
		must(g.t, os.WriteFile(g.Layout.RealPath(i.Path), g.files[i.Path], 0o444))
		if out, is := g.outs[i.Path]; is {
			regs = append(regs, validity.Registration{Drv: i.Path, Outputs: map[string]storepath.Path{"out": out}})
		}
	}
	must(g.t, g.DB.RegisterProvisional(regs...))
	must(g.t, g.DB.Commit(g.t.Context(), paths...))
	g.nixHas()
}

// sameSpecific asks both to delete sets of paths.
func (g *graph) sameSpecific(r *rand.Rand, o Options, settings []string) {
	g.t.Helper()
	for range 3 {
		o.Action, o.Paths = DeleteSpecific, nil
		args := append([]string{"--delete"}, settings...)
		for range 1 + r.IntN(3) {
			p := g.pick(r)
			o.Paths, args = append(o.Paths, p), append(args, g.Layout.Dir.Join(p))
		}
		_, err := g.Collect(g.t.Context(), o)
		g.fill()
		_, talk, nerr := g.nix(nil, args...)
		g.fill()
		if (err == nil) != (nerr == nil) {
			g.t.Errorf("%v, delete %v: we say %v, Nix %s", settings, o.Paths, err, talk)
		} else if err != nil {
			if first, _, _ := strings.Cut(err.Error(), " and nix-store"); !strings.Contains(talk, first) {
				g.t.Errorf("%v, delete %v: we say %v, Nix %s", settings, o.Paths, err, talk)
			}
		}
	}
}
