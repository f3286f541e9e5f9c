package gc

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

func TestMain(m *testing.M) {
	if os.Getenv("TEST_GC_KILLED") != "" {
		collectUntilKilled()
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2/vfs.(*diskHealthCheckingFile).startTicker.func1"))
}

// world is a store with its own directories.
type world struct {
	t testing.TB
	*Collector
}

// layoutIn is a store that is where its paths say.
func layoutIn(dir string) localstore.Layout {
	return localstore.Layout{Dir: storepath.Dir(dir + "/store"), StateDir: dir + "/state", LogDir: dir + "/log"}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, removeAll(dir)) })
	w := &world{t: t, Collector: &Collector{Layout: layoutIn(dir), proc: dir + "/proc"}}
	must(t, os.Mkdir(w.proc, 0o755))
	must(t, localstore.Prepare(w.Layout, ""))
	w.open()
	t.Cleanup(w.shut)
	return w
}

func databaseDir(l localstore.Layout) string { return l.StateDir + "/troupe/db" }

func removeAll(dir string) error {
	_, err := localstore.Remove(dir)
	return err
}

func (w *world) open() {
	w.t.Helper()
	var err error
	w.DB, err = validity.Open(databaseDir(w.Layout), validity.Options{})
	must(w.t, err)
	must(w.t, w.Layout.CleanStaging())
	w.Roots, err = localstore.OpenTempRoots(w.Layout)
	must(w.t, err)
}

func (w *world) shut() {
	w.t.Helper()
	must(w.t, w.Roots.Close())
	must(w.t, w.DB.Close())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// named is a path whose hash part is made from its name.
func named(name string) storepath.Path {
	sum := nixhash.Sum(nixhash.SHA256, []byte(name)).Bytes()[:20]
	p, err := storepath.ParseBase(nixhash.EncodeBase32(sum) + "-" + name)
	if err != nil {
		panic(err)
	}
	return p
}

func allNamed(names ...string) (paths []storepath.Path) {
	for _, n := range names {
		paths = append(paths, named(n))
	}
	return paths
}

// parsed reads "name ref… by=drv": a path, what it refers to, and what made
// it.
func parsed(line string) validity.Registration {
	words := strings.Fields(line)
	i := validity.Info{Path: named(words[0]), NarHash: nixhash.Sum(nixhash.SHA256, []byte(words[0])), NarSize: 120, RegistrationTime: 1}
	reg := validity.Registration{}
	for _, word := range words[1:] {
		if drv, made := strings.CutPrefix(word, "by="); made {
			i.Deriver = named(drv)
			reg.Drv, reg.Outputs = i.Deriver, map[string]storepath.Path{i.Path.Name(): i.Path}
		} else {
			i.References = append(i.References, named(word))
		}
	}
	slices.SortFunc(i.References, storepath.Path.Compare)
	reg.Paths = []validity.Info{i}
	return reg
}

// provisional makes paths: a file, or where the name begins with "tree" a
// directory.
func (w *world) provisional(lines ...string) (paths []storepath.Path) {
	w.t.Helper()
	var regs []validity.Registration
	for _, line := range lines {
		reg := parsed(line)
		p := reg.Paths[0].Path
		if strings.HasPrefix(p.Name(), "tree") {
			must(w.t, os.MkdirAll(w.Layout.RealPath(p)+"/sub", 0o755))
			must(w.t, os.WriteFile(w.Layout.RealPath(p)+"/sub/file", []byte("x"), 0o444))
			must(w.t, os.Chmod(w.Layout.RealPath(p)+"/sub", 0o555))
			must(w.t, os.Chmod(w.Layout.RealPath(p), 0o555))
		} else {
			must(w.t, os.WriteFile(w.Layout.RealPath(p), []byte("x"), 0o444))
		}
		regs, paths = append(regs, reg), append(paths, p)
	}
	must(w.t, w.DB.RegisterProvisional(regs...))
	return paths
}

func (w *world) valid(lines ...string) {
	w.t.Helper()
	must(w.t, w.DB.Commit(context.Background(), w.provisional(lines...)...))
}

// root makes a link in gcroots to a path.
func (w *world) root(link, target string) {
	w.t.Helper()
	link = filepath.Join(w.Layout.StateDir, "gcroots", link)
	must(w.t, os.MkdirAll(filepath.Dir(link), 0o755))
	must(w.t, os.Symlink(target, link))
}

func (w *world) path(name string) string { return w.Layout.Dir.Join(named(name)) }

func options(a Action) Options {
	return Options{Action: a, MaxFreed: Unlimited, KeepDerivations: true}
}

func (w *world) collect(o Options) Result {
	w.t.Helper()
	r, err := w.Collect(context.Background(), o)
	must(w.t, err)
	return r
}

// names shows paths without store and hash, sorted.
func (w *world) names(paths []string) string {
	var names []string
	for _, path := range paths {
		base := filepath.Base(path)
		if p, err := storepath.ParseBase(base); err == nil && named(p.Name()) == p {
			base = p.Name()
		}
		names = append(names, base)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// there shows which paths are in the database, and fails where the store's
// directory has others.
func (w *world) there() string {
	w.t.Helper()
	var valid []string
	for i, err := range w.DB.All() {
		must(w.t, err)
		valid = append(valid, w.Layout.Dir.Join(i.Path))
	}
	files, err := filepath.Glob(w.Layout.RealStoreDir() + "/[0-9a-z]*")
	must(w.t, err)
	if got, want := w.names(files), w.names(valid); got != want {
		w.t.Errorf("files: %q, valid: %q", got, want)
	}
	return w.names(valid)
}

func (w *world) want(what, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
