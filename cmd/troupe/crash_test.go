package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCrash records what the real program asks of the file system while it adds
// and builds, and holds each moment of it against a crash in which everything
// is lost that was not flushed. The database that is left is opened: all that
// was printed is valid in it, and all that is valid is on disk to the last
// byte, name and link.
//
// Then it shows that it would notice: in recordings that lack any one flush of
// the store, something valid is lost.
func TestCrash(t *testing.T) {
	needBuilds(t)
	for _, r := range recordings(t) {
		t.Run(r.name, func(t *testing.T) {
			if faults := r.replay(t, -1); len(faults) > 0 {
				t.Fatalf("%d faults:\n%s", len(faults), strings.Join(faults, "\n"))
			}
			if r.printed < r.expect {
				t.Errorf("%d paths were printed, want at least %d", r.printed, r.expect)
			}
			flushes := r.flushes()
			t.Logf("%d calls, %d flushes of the store, %d states of the database", len(r.calls), len(flushes), len(r.databases))
			if len(flushes) < 3 {
				t.Error("too few flushes of the store")
			}
			for _, n := range flushes {
				if faults := r.replay(t, n); len(faults) == 0 {
					t.Errorf("nobody misses %s(%s)", r.calls[n].name, r.calls[n].args)
				}
			}
		})
	}
}

// recordings are of a new store, and of builds in it: small trees, which are
// flushed file by file, and one that is flushed with the whole file system.
func recordings(t *testing.T) (all []*recording) {
	t.Helper()
	work := tempDir(t)
	tree := filepath.Join(work, "tree")
	for _, err := range []error{os.MkdirAll(tree+"/sub/empty", 0o755), os.WriteFile(tree+"/sub/program", []byte("#!"), 0o755),
		os.WriteFile(tree+"/text", []byte("text \x00\377\n\"quoted\\"), 0o644), os.Symlink("sub/program", tree+"/link")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(work, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	s := newTestStore(t, work, root)
	s.state = "/state/of/it" // what is above it, the store has no part in
	s.env = append(s.env, "NIX_STATE_DIR="+s.state)
	all = append(all, s.record("a new store", work, 1, "store", "add", tree))
	s.addBusybox(work)
	small := s.write(work, &recipe{name: "small", script: `mkdir $out; echo a > $out/a; ln -s a $out/b; echo $out > $dev; chmod 755 $dev`, outputs: []string{"dev", "out"}})
	user := s.write(work, &recipe{name: "user", script: `echo $inputs > $out`, inputs: []*recipe{small}})
	all = append(all, s.record("small builds", work, 3, "build", "-j1", small.file, user.file))
	large := s.write(work, &recipe{name: "large", script: `mkdir $out; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do echo $i > $out/$i; done`, inputs: []*recipe{user}})
	all = append(all, s.record("a large build", work, 1, "build", large.file))
	s.want(0, "verify", "--contents")
	for _, r := range all {
		if err := r.readTrees(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// recording is one command, from what was on disk before.
type recording struct {
	name      string
	before    *inode
	calls     []call
	layout    location
	expect    int // paths printed
	printed   int
	trees     map[string]*inode      // what store paths hold, by base name
	databases map[string]closedPaths // by what is on disk of them
}

func (s *testStore) record(name, work string, expect int, args ...string) *recording {
	s.t.Helper()
	before, err := readInode(s.root)
	if err != nil {
		s.t.Fatal(err)
	}
	log := filepath.Join(work, "strace")
	if o := s.trace(log, args...); o.code != 0 {
		s.t.Fatalf("troupe %q: exit code %d\n%s", args, o.code, o.stderr)
	}
	return &recording{name: name, before: before, calls: readTrace(s.t, log), layout: s.layout(), expect: expect,
		trees: map[string]*inode{}, databases: map[string]closedPaths{}}
}

func (r *recording) readTrees() error {
	store, err := readInode(r.layout.RealStoreDir())
	if err == nil {
		maps.Copy(r.trees, store.names)
	}
	return err
}

// flushes are the calls that flush what lies in the store, or all.
func (r *recording) flushes() (found []int) {
	for n, c := range r.calls {
		_, path := c.file()
		switch c.name {
		case "fsync", "fdatasync":
			if path == r.layout.RealStoreDir() || strings.HasPrefix(path, r.layout.RealStoreDir()+"/") {
				found = append(found, n)
			}
		case "syncfs", "sync":
			found = append(found, n)
		}
	}
	return found
}
