package localstore_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
)

// After a process that was killed, lock files that nobody has locked go, and
// what is only called like one stays.
func TestStaleLocks(t *testing.T) {
	l := layout(t)
	must(t, l.CleanStaging())
	hash := strings.Repeat("0", 32)
	stale := []string{hash + "-killed.lock", hash + "-marked.lock"}
	locked := hash + "-living.lock"
	others := []string{locked, hash + "-Cargo.lock", hash + "-directory.lock", "elsewhere.lock"}
	treeAt(t, l.RealStoreDir(), map[string]string{stale[0]: "", stale[1]: "d", locked: "", hash + "-Cargo.lock": "[[package]]",
		hash + "-directory.lock": "/", "elsewhere.lock": ""})
	for _, name := range append(stale, locked, "elsewhere.lock") {
		must(t, os.Chmod(l.RealStoreDir()+"/"+name, 0o600))
	}
	f, err := os.Open(l.RealStoreDir() + "/" + locked)
	must(t, err)
	defer f.Close()
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))

	must(t, l.Leave())
	must(t, l.CleanStaging())
	wantLocks(t, l, append(stale, others...)) // nobody was killed, nobody searches
	must(t, l.CleanStaging())
	wantLocks(t, l, others)
	must(t, l.Leave())
	must(t, l.Leave())
}

func wantLocks(t *testing.T, l localstore.Layout, want []string) {
	t.Helper()
	entries, err := os.ReadDir(l.RealStoreDir())
	must(t, err)
	var got []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".lock") {
			got = append(got, e.Name())
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the store has %q, want %q", got, want)
	}
}

// A file that was made and not named when its process was killed goes with the
// next.
func TestUnnamedTempRoots(t *testing.T) {
	l := layout(t)
	treeAt(t, l.StateDir, map[string]string{".temproots-123": ""})
	r, err := localstore.OpenTempRoots(l)
	must(t, err)
	must(t, r.Close())
	if _, err := os.Lstat(l.StateDir + "/.temproots-123"); !os.IsNotExist(err) {
		t.Error("it is still there:", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
