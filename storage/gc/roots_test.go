package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dir is where all of the store's directories are.
func (w *world) dir() string { return filepath.Dir(w.Layout.StateDir) }

// shown are the roots as text, with names for hashes and $D for w.dir.
func (w *world) shown(roots []Root) string {
	var lines []string
	for _, r := range roots {
		link := strings.ReplaceAll(r.Link, w.dir(), "$D")
		lines = append(lines, fmt.Sprintf("%s -> %s", link, r.Path.Name()))
	}
	return strings.Join(lines, "\n")
}

func (w *world) findRoots() (roots []Root, said string) {
	w.t.Helper()
	var lines []string
	roots, err := w.FindRoots(context.Background(), func(line string) {
		lines = append(lines, strings.ReplaceAll(line, w.dir(), "$D"))
	})
	must(w.t, err)
	slices.Sort(lines)
	return roots, strings.Join(lines, "\n")
}

func TestRootLinks(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "b", "c", "tree-d", "e", "f", "g")
	dir := w.dir()
	w.root("direct", w.path("a"))
	w.root("deep/er/inside", w.path("tree-d")+"/sub/file")
	w.root("../profiles/system-1-link", w.path("b"))
	w.root("../profiles/system", "system-1-link")
	w.root("auto/good", dir+"/result")
	must(t, os.Symlink(w.path("c"), dir+"/result"))
	w.root("auto/gone", dir+"/no/such/result")
	w.root("auto/file", w.Layout.StateDir+"/troupe")
	w.root("elsewhere", dir+"/no/such/result")
	w.root("third", "direct")
	w.root("invalid", w.path("nothing"))
	w.root("staging", w.Layout.StagingDir())
	must(t, os.Symlink(dir+"/state/gcroots/direct", dir+"/second"))
	w.root("auto/two-away", dir+"/second")
	must(t, os.WriteFile(w.Layout.StateDir+"/gcroots/"+named("f").Base(), nil, 0o644))
	must(t, os.WriteFile(w.Layout.StateDir+"/gcroots/"+named("nothing").Base(), nil, 0o644))
	must(t, w.Roots.Add("s", named("g")))
	roots, said := w.findRoots()
	want := fmt.Sprintf(`$D/result -> c
$D/state/gcroots/deep/er/inside -> tree-d
$D/state/gcroots/direct -> a
$D/state/gcroots/%s -> f
$D/state/profiles/system-1-link -> b
{temp:%d} -> g`, named("f").Base(), os.Getpid())
	if got := w.shown(roots); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	wantSaid := "removing stale link from '$D/state/gcroots/auto/gone' to '$D/no/such/result'\n" +
		"skipping invalid root from '$D/state/gcroots/invalid' to '$D/store/" + named("nothing").Base() + "'"
	if said != wantSaid {
		t.Errorf("said\n%s\nwant\n%s", said, wantSaid)
	}
	left, err := readNames(w.Layout.StateDir + "/gcroots/auto")
	must(t, err)
	slices.Sort(left)
	if got := strings.Join(left, " "); got != "file good two-away" {
		t.Errorf("indirect roots are %q", got)
	}
}

// A world of processes as files shows what of each is read.
func TestProcessRoots(t *testing.T) {
	w := newWorld(t)
	w.valid("tree-exe", "tree-cwd", "open", "tree-lib", "env", "modprobe", "foreign", "tree-mention")
	p := w.proc + "/42/"
	must(t, os.MkdirAll(p+"fd", 0o755))
	for link, target := range map[string]string{"exe": w.path("tree-exe") + "/bin/x", "cwd": w.path("tree-cwd"), "fd/0": "pipe:[1]",
		"fd/3": w.path("open"), "fd/4": "/dev/null"} {
		must(t, os.Symlink(target, p+link))
	}
	maps := "560338d4e000-560338dca000 r--p 00000000 fe:00 9994867                    " + w.path("tree-lib") + "/lib/l.so\n" +
		"560338d4e000-560338dca000 rw-p 00000000 00:00 0\n560338d4e000-560338dca000 r--p 00000000 fe:00 9994867   /usr/lib/libc.so\n"
	must(t, os.WriteFile(p+"maps", []byte(maps), 0o644))
	env := "A=1\x00PATH=/bin:" + w.path("tree-mention") + "/bin:/usr\x00E=" + w.path("env") + "\x00LONGER=" + w.path("env") + "-more\x00X=" + w.path("nothing") + "\x00"
	must(t, os.WriteFile(p+"environ", []byte(env), 0o644))
	must(t, os.MkdirAll(w.proc+"/sys/kernel", 0o755))
	must(t, os.WriteFile(w.proc+"/sys/kernel/modprobe", []byte(w.path("modprobe")+"\n"), 0o644))
	must(t, os.MkdirAll(w.proc+"/43", 0o755)) // has ended
	must(t, os.MkdirAll(w.proc+"/self/fd", 0o755))
	must(t, os.Symlink(w.path("foreign"), w.proc+"/self/exe"))
	roots, _ := w.findRoots()
	const want = `$D/proc/42/cwd -> tree-cwd
$D/proc/42/environ -> tree-mention
$D/proc/42/environ -> env
$D/proc/42/exe -> tree-exe
$D/proc/42/fd/3 -> open
$D/proc/42/maps -> tree-lib
$D/proc/sys/kernel/modprobe -> modprobe`
	if got := w.shown(roots); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, r := range roots {
		if !r.Private {
			t.Errorf("%s is for everybody", r.Link)
		}
	}
}

// Where the store's files are not where its paths say, both names count.
func TestRootsOfAStoreElsewhere(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "b")
	dir := w.Layout.Dir
	defer func() { w.Layout.Root, w.Layout.Dir = "", dir }()
	w.Layout.Root, w.Layout.Dir = w.dir(), "/store"
	w.root("logical", "/store/"+named("a").Base())
	w.root("real", w.Layout.RealPath(named("b")))
	roots, _ := w.findRoots()
	if got := w.shown(roots); got != "$D/state/gcroots/logical -> a\n$D/state/gcroots/real -> b" {
		t.Error(got)
	}
}

// Other processes' temporary roots count while their file is locked.
func TestOtherTempRoots(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "b", "c")
	dir := w.Layout.StateDir + "/temproots/"
	must(t, os.WriteFile(dir+"1", []byte(w.path("a")+"\x00"+w.path("c")[:60]), 0o600))
	must(t, os.WriteFile(dir+"2", []byte(w.path("b")+"\x00"), 0o600))
	living, err := os.Open(dir + "1")
	must(t, err)
	defer living.Close()
	must(t, unix.Flock(int(living.Fd()), unix.LOCK_EX))
	roots, _ := w.findRoots()
	if got := w.shown(roots); got != "{temp:1} -> a" {
		t.Error(got)
	}
	w.want("deleted", w.names(w.collect(options(DeleteDead)).Paths), "b c")
	if names, err := readNames(dir); err != nil || len(names) != 2 {
		t.Error("temporary roots:", names, err)
	}
}

// Links and directories that a user swaps lead nobody out of gcroots, and
// nothing outside is removed.
func TestSwappedRoots(t *testing.T) {
	w := newWorld(t)
	w.valid("a")
	outside := w.dir() + "/outside"
	must(t, os.MkdirAll(outside+"/auto", 0o755))
	must(t, os.Symlink("/no/such", outside+"/auto/sentinel"))
	must(t, os.Symlink("/no/such", outside+"/sentinel"))
	w.root("auto/user/x", "/no/such")
	w.root("per-user/out", outside)
	user := w.Layout.StateDir + "/gcroots/auto/user"
	stop := make(chan struct{})
	var swaps sync.WaitGroup
	swaps.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			err := errors.Join(os.Rename(user, user+"-away"), os.Symlink(outside, user), os.Remove(user), os.Rename(user+"-away", user))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
				return
			}
		}
	})
	for range 300 {
		if _, err := w.FindRoots(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	swaps.Wait()
	// The moment that such a loop rarely meets: it was a directory when it was
	// listed, and is a link when it is opened.
	must(t, os.Rename(user, user+"-away"))
	must(t, os.Symlink(outside, user))
	top, err := unix.Open(filepath.Dir(filepath.Dir(user)), unix.O_PATH|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(top)
	f := &finder{c: w.Collector, say: Options{}.say}
	if below, err := f.directory(top, filepath.Dir(filepath.Dir(user)), "auto/user"); err != nil || len(below) > 0 {
		t.Error(below, err)
	}
	for _, sentinel := range []string{"/sentinel", "/auto/sentinel"} {
		if _, err := os.Readlink(outside + sentinel); err != nil {
			t.Error(err)
		}
	}
}

// A user's directories may be nested beyond what a path can name, and may have
// anything in them.
func TestDeepRoots(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "b")
	w.root("a", w.path("a"))
	top := w.Layout.StateDir + "/gcroots/user"
	must(t, os.Mkdir(top, 0o755))
	must(t, unix.Mkfifo(top+"/fifo", 0o644))
	fd, err := unix.Open(top, unix.O_DIRECTORY|unix.O_PATH, 0)
	must(t, err)
	for range 60 {
		name := strings.Repeat("d", 100)
		must(t, unix.Mkdirat(fd, name, 0o755))
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_PATH, 0)
		must(t, err)
		must(t, unix.Close(fd))
		fd = next
	}
	must(t, unix.Close(fd))
	w.want("deleted", w.names(w.collect(options(DeleteDead)).Paths), "b")
}

// The name of an indirect root is that which Nix 2.34.8 gave to this link.
func TestAddIndirectRoot(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		must(t, AddIndirectRoot(w.Layout, "/tmp/dir/sub/x"))
	}
	auto := w.Layout.StateDir + "/gcroots/auto"
	if target, err := os.Readlink(auto + "/wkxyq42fx81lza8bmz80fnpyr2fv33db"); err != nil || target != "/tmp/dir/sub/x" {
		t.Error(target, err)
	}
	if names, err := readNames(auto); err != nil || len(names) != 1 {
		t.Error(names, err)
	}
	if err := AddIndirectRoot(w.Layout, "result"); err == nil {
		t.Error("a relative link was accepted")
	}
}

func TestAddPermRoot(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "b", "c")
	dir := w.dir()
	link := dir + "/new/result"
	for _, name := range []string{"a", "b"} { // the second replaces the first
		if made, err := AddPermRoot(w.Layout, named(name), link); err != nil || made != link {
			t.Fatal(made, err)
		}
	}
	w.want("deleted", w.names(w.collect(options(DeleteDead)).Paths), "a c")
	must(t, os.WriteFile(dir+"/file", nil, 0o644))
	must(t, os.Symlink("/etc/passwd", dir+"/foreign"))
	for link, want := range map[string]string{
		"relative":          "it is not an absolute path",
		w.path("b") + "/x":  "in the Nix store is forbidden (are you running nix-build inside the store?)",
		dir + "/file":       "cannot create symlink \"" + dir + "/file\"; already exists",
		dir + "/foreign":    "cannot create symlink \"" + dir + "/foreign\"; already exists",
		dir + "/new/../new": "already exists",
	} {
		if _, err := AddPermRoot(w.Layout, named("b"), link); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v", link, err)
		}
	}
	must(t, os.Remove(link))
	w.want("deleted", w.names(w.collect(options(DeleteDead)).Paths), "b")
}

func TestAuto(t *testing.T) {
	var idle Auto
	for _, c := range []struct {
		free uint64
		l    Limits
		want bool
	}{{100, Limits{0, 1000}, false}, {100, Limits{100, 1000}, false}, {99, Limits{100, 1000}, true}, {50, Limits{100, 50}, false}} {
		a := &Auto{}
		if got := a.begin(c.free, c.l); got != c.want {
			t.Errorf("%d free of %v: %v", c.free, c.l, got)
		}
	}
	idle.left = 1000
	if idle.begin(980, Limits{2000, 3000}) || !idle.begin(960, Limits{2000, 3000}) {
		t.Error("one of no use is tried again, or never again")
	}
	if idle.begin(1, Limits{2000, 3000}) {
		t.Error("two at once")
	}
}

func TestAutoCollects(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "b", "c")
	free, err := FreeSpace(w.Layout)
	must(t, err)
	var said []string
	var a Auto
	o := Options{Talk: func(line string) { said = append(said, line) }}
	r, ran, err := a.Collect(context.Background(), w.Collector, free, Limits{free + 1, free + 5000}, o)
	if err != nil || !ran || len(r.Paths) != 2 || said[0] != "running auto-GC to free 5000 bytes" {
		t.Error(r, ran, err, said)
	}
}

// A collector of another process is asked before a path is leased, and one of
// ours hears of what other processes lease.
func TestOtherCollectors(t *testing.T) {
	w := newWorld(t)
	w.valid("a", "b")
	lock, err := os.OpenFile(w.Layout.StateDir+"/gc.lock", os.O_RDWR, 0)
	must(t, err)
	defer lock.Close()
	must(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	var said []string
	o := options(DeleteDead)
	o.Talk = func(line string) { said = append(said, line) }
	if _, err := w.Collect(ctx, o); !errors.Is(err, context.DeadlineExceeded) || len(said) != 1 || said[0] != "waiting for the big garbage collector lock..." {
		t.Error(err, said)
	}
	must(t, unix.Flock(int(lock.Fd()), unix.LOCK_UN))
	w.want("deleted", w.names(w.collect(options(DeleteDead)).Paths), "a b")
}
