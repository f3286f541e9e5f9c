package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	shapes "troupe/cmd/troupe-bench/graph"
	"troupe/storage/binarycache"
	"troupe/storage/narinfo"
	"troupe/storage/storepath"
)

// kinds are the system calls whose number does not hang on how fast the machine
// is, by what they are for.
var kinds = map[string]string{
	"files":     "open,openat,openat2,creat,mkdir,mkdirat,symlink,symlinkat,link,linkat,rename,renameat,renameat2,unlink,unlinkat,rmdir",
	"status":    "stat,lstat,newfstatat,statx,fchmodat,fchmodat2,chmod,fchmod,fchownat,lchown,chown,fchown,utimensat,readlinkat,listxattr,flistxattr,llistxattr",
	"mounts":    "mount,umount2,pivot_root,mount_setattr,move_mount,open_tree,fsopen,fsmount,fsconfig",
	"processes": "fork,vfork,execve,execveat",
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

// TestCountsOfBuilds bounds the system calls that a trivial derivation costs in a
// sandbox, those of its builder included. The bounds are some way above what is counted: who comes
// over one has made every build dearer.
func TestCountsOfBuilds(t *testing.T) {
	needBuilds(t)
	work := tempDir(t)
	s := newTestStore(t, work, work+"/root", "--option", "build-users-group", "", "--option", "use-cgroups", "false")
	s.addBusybox(work)
	build := func(n int) map[string]float64 {
		var leaves []*recipe
		for i := range n {
			leaves = append(leaves, s.write(work, &recipe{name: fmt.Sprintf("leaf-%d-%d", n, i), script: "echo > $out"}))
		}
		top := s.write(work, &recipe{name: "top", script: "echo $inputs > $out", inputs: leaves})
		return s.tally(work, "build", "-j2", top.file)
	}
	within(t, build(5), build(25), 20, map[string]float64{"files": 50, "status": 55, "mounts": 24, "processes": 1.2, "flushes": 2.5})
}

// TestCountsOfFetches bounds those that a path costs which a cache of files has.
func TestCountsOfFetches(t *testing.T) {
	work := tempDir(t)
	box, err := storepath.ParseBase(strings.Repeat("0", 32) + "-box")
	if err != nil {
		t.Fatal(err)
	}
	pool := binarycache.NewPool(binarycache.Settings{StoreDir: storeDir})
	defer pool.Close()
	cache, err := pool.Open("file://" + work + "/cache?compression=zstd")
	if err != nil {
		t.Fatal(err)
	}
	if err := cache.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	fetch := func(n int) map[string]float64 {
		items, err := shapes.Maker{Dir: storeDir, Box: box, Salt: fmt.Sprint(n)}.Make(shapes.Independent(n))
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			info := narinfo.Info{Path: i.Out, NarHash: i.NarHash, NarSize: uint64(len(i.Archive)), References: i.Refs}
			if _, err := cache.Upload(t.Context(), info, bytes.NewReader(i.Archive)); err != nil {
				t.Fatal(err)
			}
		}
		s := newTestStore(t, work, fmt.Sprint(work, "/root-", n), "--option", "substituters", "file://"+work+"/cache", "--option", "require-sigs", "false")
		return s.tally(work, "build", storeDir.Join(items[n].Out))
	}
	within(t, fetch(5), fetch(35), 30, map[string]float64{"files": 18, "status": 7, "mounts": 0.1, "processes": 0.1, "flushes": 1})
}
