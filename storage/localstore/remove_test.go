package localstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
)

func TestRemove(t *testing.T) {
	top := tree(t, map[string]string{"a/b/c": "x", "link": "->/etc", "empty": "/", "ro/file": "y"})
	for _, d := range []string{"a/b", "ro", ""} {
		if err := os.Chmod(filepath.Join(top, d), 0o500); err != nil {
			t.Fatal(err)
		}
	}
	freed, err := localstore.Remove(top)
	if err != nil || freed == 0 {
		t.Fatal(freed, err)
	}
	if _, err := os.Lstat(top); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := os.Stat("/etc"); err != nil {
		t.Fatal("the link was followed")
	}
	if _, err := localstore.Remove(top); err != nil {
		t.Fatal("what is not there is an error:", err)
	}
}

// deepTree makes directories that no path can name.
func deepTree(t *testing.T, levels int) string {
	t.Helper()
	top := filepath.Join(tempDir(t), "top")
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	chain(t, top, levels)
	return top
}

// chain makes levels of directories in dir, some of which their owner cannot
// change.
func chain(t *testing.T, dir string, levels int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range levels {
		if err := unix.Mkdirat(fd, "d", 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, "d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			err = unix.Fchmod(fd, 0o500)
		}
		if err := errors.Join(err, unix.Close(fd)); err != nil {
			t.Fatal(err)
		}
		fd = next
	}
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
}

// Whoever made the tree has taken the names that the removal would use.
func TestRemoveNamesTaken(t *testing.T) {
	top := filepath.Join(tempDir(t), "top")
	for i := range 8 {
		name := fmt.Sprintf(".removed-%d", i+1)
		if i%2 == 0 {
			name += "/full"
		}
		treeAt(t, top, map[string]string{name: "x", fmt.Sprintf("chain-%d", i): "/"})
		chain(t, fmt.Sprintf("%s/chain-%d", top, i), 103)
	}
	if _, err := localstore.Remove(top); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(top)); err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
}

// A tree of 10,000 levels goes with far fewer descriptors.
func TestRemoveDeep(t *testing.T) {
	levels := 10_000
	if os.Geteuid() != 0 { // the test runs twice, and most of its time is spent on making them
		levels = 2_500
	}
	top := deepTree(t, levels)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: 256, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	_, err := localstore.Remove(top)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Dir(top))
	if err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
}

// Somebody swaps a directory for a link to a sentinel, as fast as they can,
// while it is removed: nothing of the sentinel goes, in a thousand tries.
func TestRemoveUnderAttack(t *testing.T) {
	sentinel := tree(t, map[string]string{"a": "precious", "b": "precious", "deep/c": "precious"})
	dir := tempDir(t)
	toSentinel, err := filepath.Rel(dir+"/0", sentinel) // an absolute link would also be a way to another mount
	if err != nil {
		t.Fatal(err)
	}
	var target atomic.Pointer[string] // the tree under attack; "" ends it
	var swaps int
	var attack sync.WaitGroup
	attack.Go(func() {
		for {
			switch top := target.Load(); {
			case top == nil:
				runtime.Gosched()
			case *top == "":
				return
			case unix.Renameat2(unix.AT_FDCWD, *top+"/victim", unix.AT_FDCWD, *top+"-link", unix.RENAME_EXCHANGE) == nil:
				swaps++
			}
		}
	})
	tried := 0
	for i := 0; tried < tries(); i++ {
		top := fmt.Sprintf("%s/%d", dir, i)
		treeAt(t, top, map[string]string{"victim/a": "1", "victim/b": "2", "victim/deep/c": "3"})
		if err := os.Symlink(toSentinel, top+"-link"); err != nil {
			t.Fatal(err)
		}
		target.Store(&top)
		_, err := localstore.Remove(top)
		for tried++; err != nil && tried < 10_000; tried++ { // the attacker makes it fail, which is allowed
			_, err = localstore.Remove(top)
		}
		target.Store(nil)
		if err != nil {
			t.Error("it never ends:", err)
		}
		for _, p := range []string{"a", "b", "deep/c"} {
			if _, err := os.Stat(sentinel + "/" + p); err != nil {
				t.Error("the sentinel is gone:", err)
			}
		}
		if t.Failed() {
			break
		}
	}
	target.Store(new(string))
	attack.Wait()
	t.Logf("%d tries, %d swaps", tried, swaps)
	if swaps == 0 && runtime.NumCPU() > 1 { // on one, the attacker may get no turn
		t.Error("the attack never took place")
	}
}

// What is mounted in a tree stays, also where it is of the same file system.
func TestRemoveCrossesNoMount(t *testing.T) {
	if !withMounts(t) {
		return
	}
	for _, kind := range []string{"tmpfs", "bind"} {
		top, sentinel := tree(t, map[string]string{"a/mounted/under": "x"}), tree(t, map[string]string{"precious": "x"})
		if kind == "bind" {
			mount(t, sentinel, top+"/a/mounted", "", unix.MS_BIND, "")
		} else {
			mount(t, "none", top+"/a/mounted", kind, 0, "")
			treeAt(t, top+"/a/mounted", map[string]string{"precious": "x"})
		}
		for _, tree := range []string{top, top + "/a/mounted"} {
			if _, err := localstore.Remove(tree); err == nil || !strings.Contains(err.Error(), "a file system is mounted there") {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if _, err := os.Stat(top + "/a/mounted/precious"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// A file with another name elsewhere gives nothing back, and keeps its mode.
func TestRemoveHardLink(t *testing.T) {
	top, outside := tree(t, map[string]string{"dir": "/"}), tree(t, map[string]string{"file": strings.Repeat("x", 100_000)})
	if err := os.Link(outside+"/file", top+"/dir/second"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(outside+"/file", 0o400); err != nil {
		t.Fatal(err)
	}
	freed, err := localstore.Remove(top)
	if err != nil || freed >= 100_000 {
		t.Fatal(freed, err)
	}
	if st := stat(t, outside+"/file"); st.Mode&0o7777 != 0o400 || st.Nlink != 1 {
		t.Fatalf("mode %o, links %d", st.Mode, st.Nlink)
	}
	if freed, err = localstore.Remove(outside); err != nil || freed < 100_000 {
		t.Fatal(freed, err)
	}
}
