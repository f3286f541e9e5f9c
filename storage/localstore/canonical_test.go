package localstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
)

func TestCanonicalise(t *testing.T) {
	top := tree(t, map[string]string{"bin/tool": "#!", "share/doc": "text", "lib": "->share", "locked/secret": "x"})
	for p, mode := range map[string]os.FileMode{"bin/tool": 0o4775, "share/doc": 0o666, "locked": 0o300} {
		if err := unix.Chmod(filepath.Join(top, p), uint32(mode.Perm())|map[bool]uint32{true: 0o4000}[p == "bin/tool"]); err != nil {
			t.Fatal(err)
		}
	}
	if err := localstore.Canonicalise(top, localstore.Options{BuilderUID: os.Geteuid()}); err != nil {
		t.Fatal(err)
	}
	for p, mode := range map[string]uint32{"": 0o40555, "bin": 0o40555, "bin/tool": 0o100555, "share/doc": 0o100444, "locked": 0o40555, "lib": 0o120777} {
		st := stat(t, filepath.Join(top, p))
		if st.Mode != mode || st.Mtim.Sec != 1 || st.Mtim.Nsec != 0 {
			t.Errorf("%q: mode %o, time %d", p, st.Mode, st.Mtim.Sec)
		}
	}
}

// Attributes go, also from a file that its owner cannot write to, and so do
// access lists, which are kept as attributes.
func TestCanonicaliseRemovesAttributes(t *testing.T) {
	top := tree(t, map[string]string{"file": "x", "locked": "x", "many": "x"})
	list := []byte{2, 0, 0, 0, // version, then tag, permissions and user of each entry
		1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 1, 2, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
		16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255}
	set := map[string][]byte{"user.note": []byte("hello"), "system.posix_acl_access": list}
	for _, name := range []string{"file", "locked"} {
		for attribute, value := range set {
			if err := unix.Setxattr(filepath.Join(top, name), attribute, value, 0); err != nil {
				missing(t, "extended attributes: "+err.Error())
			}
		}
	}
	for i := range 40 { // more than fit into a short list of names
		if err := unix.Setxattr(top+"/many", fmt.Sprintf("user.attribute-%d", i), []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Setxattr(top, "system.posix_acl_default", list, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(top+"/locked", 0o400); err != nil {
		t.Fatal(err)
	}
	if err := localstore.Canonicalise(top, localstore.Options{BuilderUID: -1}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{top, top + "/file", top + "/locked", top + "/many"} {
		if n, err := unix.Listxattr(p, make([]byte, 1000)); err != nil || n != 0 {
			t.Error(p, n, err)
		}
		if st := stat(t, p); st.Mode&0o7777 != map[bool]uint32{true: 0o555, false: 0o444}[p == top] || st.Mtim.Nano() != 1e9 {
			t.Errorf("%s: mode %o, time %d", p, st.Mode, st.Mtim.Nano())
		}
	}
}

func TestCanonicaliseRefuses(t *testing.T) {
	top := tree(t, map[string]string{"file": "x"})
	if err := unix.Mkfifo(filepath.Join(top, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := localstore.Canonicalise(top, localstore.Options{BuilderUID: -1}); err == nil || !strings.Contains(err.Error(), "unsupported type") {
		t.Fatal(err)
	}
	top = tree(t, map[string]string{"file": "x"})
	if err := localstore.Canonicalise(top, localstore.Options{BuilderUID: os.Geteuid() + 1}); err == nil || !strings.Contains(err.Error(), "invalid ownership on file") {
		t.Fatal(err)
	}
}

// A file that two outputs of a build share changes its owner with the first;
// one that the build did not make is refused.
func TestCanonicaliseHardLinks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving files away needs root")
	}
	const builder = 30997
	a, b := tree(t, map[string]string{"file": "x"}), tree(t, map[string]string{"other": "y"})
	for _, p := range []string{a, a + "/file", b, b + "/other"} {
		if err := os.Chown(p, builder, builder); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(a+"/file", b+"/shared"); err != nil {
		t.Fatal(err)
	}
	o := localstore.Options{BuilderUID: builder, Seen: map[localstore.Inode]struct{}{}}
	for _, p := range []string{a, b} {
		if err := localstore.Canonicalise(p, o); err != nil {
			t.Fatal(err)
		}
	}
	c := tree(t, map[string]string{"own": "x"})
	for _, p := range []string{c, c + "/own"} {
		if err := os.Chown(p, builder, builder); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(a+"/file", c+"/stolen"); err != nil { // root's by now
		t.Fatal(err)
	}
	if err := localstore.Canonicalise(c, localstore.Options{BuilderUID: builder, Seen: map[localstore.Inode]struct{}{}}); err == nil {
		t.Fatal("a foreign file was taken")
	}
}

func TestCheckOutput(t *testing.T) {
	top := tree(t, map[string]string{"file": "x", "link": "->file"})
	for mode, ok := range map[uint32]bool{0o755: true, 0o775: false, 0o757: false} {
		if err := unix.Chmod(top, mode); err != nil {
			t.Fatal(err)
		}
		if err := localstore.CheckOutput(top, os.Geteuid()); (err == nil) != ok {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := localstore.CheckOutput(top+"/link", os.Geteuid()); err != nil {
		t.Error(err)
	}
	if err := localstore.CheckOutput(top+"/file", os.Geteuid()+1); err == nil {
		t.Error("a foreign output was taken")
	}
}

// What an archive cannot hold is refused before anybody descends into it.
func TestCanonicaliseDeep(t *testing.T) {
	for levels, ok := range map[int]bool{63: true, 64: false, 500: false} {
		top := tempDir(t) + "/top"
		if levels < 100 {
			treeAt(t, top, map[string]string{strings.Repeat("d/", levels-1) + "file": "x"})
		} else {
			top = deepTree(t, levels)
		}
		err := localstore.Canonicalise(top, localstore.Options{BuilderUID: -1})
		if (err == nil) != ok || !ok && !strings.Contains(err.Error(), "nested more than 64 deep") {
			t.Errorf("%d levels: %v", levels, err)
		}
		if _, err := localstore.Scan(top, nil); (err == nil) != ok {
			t.Errorf("%d levels: archive: %v", levels, err)
		}
		if _, err := localstore.Remove(top); err != nil {
			t.Error(err)
		}
	}
}

// A directory is swapped for a link, and a file for a pipe, while their tree is made
// canonical and read: what the link points to keeps its mode and its time, and nobody
// waits for the pipe.
func TestCanonicaliseUnderAttack(t *testing.T) {
	sentinel := tree(t, map[string]string{"a": "precious", "dir/b": "precious"})
	top := tree(t, map[string]string{"victim/a": "1", "victim/dir/b": "2", "other": "3"})
	link, pipe := filepath.Dir(top)+"/link", filepath.Dir(top)+"/pipe"
	if err := errors.Join(os.Symlink(sentinel, link), unix.Mkfifo(pipe, 0o644)); err != nil {
		t.Fatal(err)
	}
	before := map[string]unix.Stat_t{}
	for _, p := range []string{"", "/a", "/dir", "/dir/b"} {
		before[p] = stat(t, sentinel+p)
	}
	victim, err := unix.Open(top+"/victim", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(victim)
	var stop atomic.Bool
	var swaps atomic.Int64
	var attack sync.WaitGroup
	attack.Go(func() {
		for !stop.Load() {
			unix.Fchmod(victim, 0o755) // what cannot be written to is not moved
			os.Chmod(top, 0o755)
			if unix.Renameat2(unix.AT_FDCWD, top+"/victim", unix.AT_FDCWD, link, unix.RENAME_EXCHANGE) == nil {
				swaps.Add(1)
			}
			unix.Renameat2(unix.AT_FDCWD, top+"/other", unix.AT_FDCWD, pipe, unix.RENAME_EXCHANGE)
		}
	})
	o := localstore.Options{BuilderUID: -1}
	for n := 0; n < tries() || swaps.Load() < 10 && n < 100*tries(); n++ {
		err := localstore.Canonicalise(top, o)
		if n%2 == 0 {
			_, err = localstore.Take(top, o, nil, nil)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EACCES) && !strings.Contains(err.Error(), "unsupported type") {
			t.Error(err)
			break
		}
	}
	stop.Store(true)
	attack.Wait()
	for p, st := range before {
		if now := stat(t, sentinel+p); now.Mode != st.Mode || now.Mtim != st.Mtim || now.Ctim != st.Ctim {
			t.Errorf("%q was changed: mode %o, time %d", p, now.Mode, now.Mtim.Sec)
		}
	}
	t.Logf("%d swaps", swaps.Load())
	if swaps.Load() == 0 {
		t.Error("the attack never took place")
	}
}
