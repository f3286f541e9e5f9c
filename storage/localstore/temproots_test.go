package localstore_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
	"troupe/storage/storepath"
)

// numbered makes store paths.
func numbered(t *testing.T, from, to int) (paths []storepath.Path) {
	t.Helper()
	for i := from; i < to; i++ {
		p, err := storepath.ParseBase(fmt.Sprintf("%032d-path", i))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	return paths
}

func rootsFile(l localstore.Layout) string {
	return fmt.Sprintf("%s/temproots/%d", l.StateDir, os.Getpid())
}

// listed are the paths in our file, sorted.
func listed(t *testing.T, l localstore.Layout) []string {
	t.Helper()
	text, err := os.ReadFile(rootsFile(l))
	if err != nil || len(text) > 0 && text[len(text)-1] != 0 {
		t.Fatalf("%q %v", text, err)
	}
	paths := strings.Split(string(text), "\x00")
	paths = paths[:len(paths)-1]
	slices.Sort(paths)
	return paths
}

func logical(paths []storepath.Path) (texts []string) {
	for _, p := range paths {
		texts = append(texts, "/nix/store/"+p.Base())
	}
	slices.Sort(texts)
	return texts
}

func TestTempRoots(t *testing.T) {
	l := layout(t)
	dir := l.StateDir + "/temproots"
	treeAt(t, dir, map[string]string{"1": "old", "2": "of a living process"})
	living, err := os.Open(dir + "/2")
	if err == nil {
		err = unix.Flock(int(living.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	r, err := localstore.OpenTempRoots(l)
	if err != nil {
		t.Fatal(err)
	}
	paths := numbered(t, 0, 2)
	for range 2 {
		if err := r.Add("", paths...); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := listed(t, l), logical(paths); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := os.Stat(dir + "/1"); err == nil {
		t.Error("a dead process's roots are still there")
	}
	if text, err := os.ReadFile(dir + "/2"); string(text) != "of a living process" {
		t.Errorf("a living process's roots: %q %v", text, err)
	}
	if _, err := localstore.OpenTempRoots(l); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second file for one process: %v", err)
	}
	if got := listed(t, l); len(got) != 2 {
		t.Error("the second changed the first:", got)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(rootsFile(l)); err == nil {
		t.Error("our roots are still there")
	}
	if entries, err := os.ReadDir(l.StateDir); err != nil || slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name()[0] == '.' }) {
		t.Error("left behind:", entries, err)
	}
}

// Whoever collects sees the file as locked from the moment that it has a name.
func TestTempRootsAreNeverStale(t *testing.T) {
	l := layout(t)
	if err := os.Mkdir(l.StateDir+"/temproots", 0o755); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	unlocked := make(chan bool)
	go func() {
		seen := false
		for {
			select {
			case <-done:
				unlocked <- seen
				return
			default:
				runtime.Gosched()
			}
			if f, err := os.Open(rootsFile(l)); err == nil {
				if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
					seen = seen || linked(f) // without a name it was closed meanwhile
				}
				f.Close()
			}
		}
	}()
	for range tries() {
		r, err := localstore.OpenTempRoots(l)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	if <-unlocked {
		t.Error("it was there and not locked")
	}
}

func linked(f *os.File) bool {
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Nlink > 0
}

func TestTempRootsAtOnce(t *testing.T) {
	l := layout(t)
	r, err := localstore.OpenTempRoots(l)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for i := range 8 { // half of each one's paths are also the next one's
		paths := numbered(t, i*10, i*10+20)
		work.Go(func() {
			for _, p := range paths {
				if err := r.Add("", p); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	if got, want := listed(t, l), logical(numbered(t, 0, 90)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// On a full disk a path is kept whole or not at all, and later it is kept.
func TestTempRootsOnFullDisk(t *testing.T) {
	if !withMounts(t) {
		return
	}
	root := tempDir(t)
	mount(t, "none", root, "tmpfs", 0, "size=256k")
	l := layoutIn(root)
	if err := localstore.Prepare(l, ""); err != nil {
		t.Fatal(err)
	}
	r, err := localstore.OpenTempRoots(l)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/ballast", make([]byte, 240<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	kept, next := 0, 0
	for ; ; next += 50 {
		if err = r.Add("", numbered(t, next, next+50)...); err != nil {
			break
		}
		kept = next + 50
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if got, want := listed(t, l), logical(numbered(t, 0, kept)); !slices.Equal(got, want) {
		t.Errorf("%d paths are listed of %d", len(got), len(want))
	}
	if err := os.Remove(root + "/ballast"); err != nil {
		t.Fatal(err)
	}
	if err := r.Add("", numbered(t, next, next+50)...); err != nil {
		t.Fatal(err)
	}
	if got, want := listed(t, l), logical(numbered(t, 0, next+50)); !slices.Equal(got, want) {
		t.Errorf("%d paths are listed of %d", len(got), len(want))
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// An owner that goes when all is closed already changes nothing: the file is not made
// anew.
func TestDropAfterClose(t *testing.T) {
	l := localstore.Layout{Dir: "/nix/store", StateDir: t.TempDir()}
	roots, err := localstore.OpenTempRoots(l)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(roots.Add("a", numbered(t, 0, 1500)...), roots.Close()); err != nil {
		t.Fatal(err)
	}
	roots.Drop("a")
	left, err := filepath.Glob(l.StateDir + "/temproots/*")
	if len(left) > 0 || err != nil {
		t.Errorf("left there: %v, %v", left, err)
	}
}
