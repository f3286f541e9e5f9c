package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	shapes "troupe/cmd/troupe-bench/graph"
	"troupe/storage/binarycache"
	"troupe/storage/nar"
	"troupe/storage/narinfo"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// kinds are the system calls whose number does not hang on how fast the machine
// is, by what they are for.
var kinds = map[string]string{
	"files":     "open,openat,openat2,creat,mkdir,mkdirat,symlink,symlinkat,link,linkat,rename,renameat,renameat2,unlink,unlinkat,rmdir",
	"status":    "stat,lstat,fstat,newfstatat,statx,fchmodat,fchmodat2,chmod,fchmod,fchownat,lchown,chown,fchown,utimensat,readlinkat,listxattr,flistxattr,llistxattr",
	"mounts":    "mount,umount2,pivot_root,mount_setattr,move_mount,open_tree,fsopen,fsmount,fsconfig",
	"processes": "fork,vfork,execve,execveat",
	"lists":     "getdents64",
	"flushes":   "fsync,fdatasync,sync,syncfs,sync_file_range",
}

// tally counts the calls of a command and of all that it starts.
func (s *testStore) tally(work string, args ...string) map[string]float64 {
	s.t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		lacking(s.t, "strace")
	}
	var all []string
	for _, calls := range kinds {
		for _, c := range strings.Split(calls, ",") {
			all = append(all, "?"+c) // which another processor may not have
		}
	}
	cmd := s.command(args...)
	log := filepath.Join(work, "tally")
	cmd.Args = append([]string{"strace", "-f", "-qq", "-c", "-U", "calls,name", "-e", "trace=" + strings.Join(all, ","), "-o", log, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = strace
	if o := s.finish(cmd); o.code != 0 {
		s.t.Fatalf("%v: exit code %d\n%s", args, o.code, o.stderr)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		s.t.Fatal(err)
	}
	return sumUp(s.t, string(text))
}

// sumUp adds up a summary of strace, lines "CALLS NAME", by kinds.
func sumUp(t *testing.T, text string) map[string]float64 {
	t.Helper()
	sums := map[string]float64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		n, err := strconv.Atoi(f[0])
		if err != nil {
			continue // a heading
		}
		for kind, calls := range kinds {
			if strings.Contains(","+calls+",", ","+f[1]+",") {
				sums[kind] += float64(n)
			}
		}
	}
	if len(sums) == 0 {
		t.Fatalf("strace says %q", text)
	}
	return sums
}

// within holds what each of more items cost, beyond what fewer did, against bounds.
func within(t *testing.T, few, many map[string]float64, more float64, most map[string]float64) {
	t.Helper()
	for kind := range kinds {
		got := (many[kind] - few[kind]) / more
		t.Logf("%s: %.1f each, %.1f allowed", kind, got, most[kind])
		if got > most[kind] {
			t.Errorf("%s: %.1f each, more than %.1f", kind, got, most[kind])
		}
	}
}

// newCountedStore makes a store to build in, below a directory for files of the test.
func newCountedStore(t *testing.T) (s *testStore, work string) {
	t.Helper()
	needBuilds(t)
	work = tempDir(t)
	s = newTestStore(t, work, work+"/root", "--option", "build-users-group", "", "--option", "use-cgroups", "false")
	s.addBusybox(work)
	return s, work
}

// TestCountsOfBuilds bounds the system calls that a trivial derivation costs in a
// sandbox, those of its builder included. The bounds are some way above what is counted: who comes
// over one has made every build dearer.
func TestCountsOfBuilds(t *testing.T) {
	s, work := newCountedStore(t)
	build := func(n int) map[string]float64 {
		var leaves []*recipe
		for i := range n {
			leaves = append(leaves, s.write(work, &recipe{name: fmt.Sprintf("leaf-%d-%d", n, i), script: "echo > $out"}))
		}
		top := s.write(work, &recipe{name: "top", script: "echo $inputs > $out", inputs: leaves})
		return s.tally(work, "build", "-j2", top.file)
	}
	within(t, build(5), build(25), 20, map[string]float64{"files": 42, "status": 65, "lists": 8, "mounts": 24, "processes": 1.2, "flushes": 2.5})
}

// testCache is a cache of files.
type testCache struct {
	*binarycache.Cache
	url string
	box storepath.Path
}

func newTestCache(t *testing.T, work string) testCache {
	t.Helper()
	box, err := storepath.ParseBase(strings.Repeat("0", 32) + "-box")
	if err != nil {
		t.Fatal(err)
	}
	pool := binarycache.NewPool(binarycache.Settings{StoreDir: storeDir})
	t.Cleanup(pool.Close)
	c := testCache{url: "file://" + work + "/cache", box: box}
	if c.Cache, err = pool.Open(c.url + "?compression=zstd"); err == nil {
		err = c.Create(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c testCache) upload(t *testing.T, p storepath.Path, hash nixhash.Hash, archive []byte, refs ...storepath.Path) {
	t.Helper()
	info := narinfo.Info{Path: p, NarHash: hash, NarSize: uint64(len(archive)), References: refs}
	if _, err := c.Upload(t.Context(), info, bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
}

// fetched counts the calls that fetch a path into a store of its own.
func (c testCache) fetched(t *testing.T, work, root string, p storepath.Path) map[string]float64 {
	t.Helper()
	s := newTestStore(t, work, work+"/"+root, "--option", "substituters", c.url, "--option", "require-sigs", "false")
	return s.tally(work, "build", storeDir.Join(p))
}

// TestCountsOfFetches bounds those that a path costs which a cache of files has.
func TestCountsOfFetches(t *testing.T) {
	work := tempDir(t)
	cache := newTestCache(t, work)
	fetch := func(n int) map[string]float64 {
		items, err := shapes.Maker{Dir: storeDir, Box: cache.box, Salt: fmt.Sprint(n)}.Make(shapes.Independent(n))
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			cache.upload(t, i.Out, i.NarHash, i.Archive, i.Refs...)
		}
		return cache.fetched(t, work, fmt.Sprint("root-", n), items[n].Out)
	}
	within(t, fetch(5), fetch(35), 30, map[string]float64{"files": 12, "status": 11, "lists": 0.1, "mounts": 0.1, "processes": 0.1, "flushes": 1})
}

// TestCountsOfUnpacking bounds those for each file of a path that is unpacked: it is made,
// with the mode that it keeps, and its time is set.
func TestCountsOfUnpacking(t *testing.T) {
	work := tempDir(t)
	cache := newTestCache(t, work)
	fetch := func(n int) map[string]float64 {
		var archive bytes.Buffer
		w := nar.NewWriter(&archive)
		err := w.Directory("")
		for i := range n {
			err = errors.Join(err, w.File(fmt.Sprintf("%03d", i), i%2 == 0, 1, strings.NewReader("x")))
		}
		if err := errors.Join(err, w.Up(), w.Close()); err != nil {
			t.Fatal(err)
		}
		hash := nixhash.Sum(nixhash.SHA256, archive.Bytes())
		p, err := storeDir.MakeFixed("many", storepath.NAR, hash, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		cache.upload(t, p, hash, archive.Bytes())
		return cache.fetched(t, work, fmt.Sprint("root-", n), p)
	}
	within(t, fetch(20), fetch(220), 200, map[string]float64{"files": 1.1, "status": 1.1, "lists": 0.1, "mounts": 0.1, "processes": 0.1, "flushes": 0.1})
}

// TestCountsOfOutputs bounds those for each file of an output. Its builder makes it; it is
// opened, once, looked at with its attributes, and given its mode and its time.
func TestCountsOfOutputs(t *testing.T) {
	s, work := newCountedStore(t)
	build := func(n int) map[string]float64 {
		script := fmt.Sprintf("mkdir $out; n=0; while [ $n -lt %d ]; do echo x > $out/$n; n=$((n+1)); done", n)
		return s.tally(work, "build", s.write(work, &recipe{name: fmt.Sprint("many-", n), script: script}).file)
	}
	within(t, build(20), build(220), 200, map[string]float64{"files": 2.1, "status": 4.1, "lists": 0.1, "mounts": 0.1, "processes": 0.1, "flushes": 0.1})
}
