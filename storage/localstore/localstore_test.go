package localstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

func layout(t *testing.T) localstore.Layout {
	t.Helper()
	root := t.TempDir()
	l := localstore.Layout{Dir: "/nix/store", Root: root, StateDir: root + "/nix/var/nix", LogDir: root + "/nix/var/log/nix"}
	if err := localstore.Prepare(l, ""); err != nil {
		t.Fatal(err)
	}
	return l
}

// tree makes a directory of files; a value that begins with "->" is a link, and
// one that is "/" a directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	top := filepath.Join(t.TempDir(), "top")
	for name, content := range files {
		p := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(content, "->"); {
		case link:
			err = os.Symlink(target, p)
		case content == "/":
			err = os.MkdirAll(p, 0o755)
		default:
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return top
}

func stat(t *testing.T, p string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		t.Fatal(p, err)
	}
	return st
}

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
	if _, err := localstore.Remove(top); err != nil {
		t.Fatal(err)
	}
}

func TestCanonicaliseRemovesAttributes(t *testing.T) {
	top := tree(t, map[string]string{"file": "x"})
	file := filepath.Join(top, "file")
	if err := unix.Setxattr(file, "user.note", []byte("hello"), 0); err != nil {
		t.Skipf("no extended attributes here: %v", err)
	}
	if err := localstore.Canonicalise(top, localstore.Options{BuilderUID: -1}); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Listxattr(file, make([]byte, 1000)); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	if _, err := localstore.Remove(top); err != nil {
		t.Fatal(err)
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

// A depth that no path can name, with bounded descriptors.
func TestRemoveDeep(t *testing.T) {
	top := filepath.Join(t.TempDir(), "top")
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(top, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 5000 {
		if err := unix.Mkdirat(fd, "d", 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, "d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
	if _, err := localstore.Remove(top); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Dir(top))
	if err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
}

// Somebody swaps a directory for a link to a sentinel while it is removed.
func TestRemoveUnderAttack(t *testing.T) {
	sentinel := tree(t, map[string]string{"precious": "x"})
	for range 300 {
		top := tree(t, map[string]string{"victim/a": "1", "victim/b": "2", "victim/c": "3"})
		var attack sync.WaitGroup
		attack.Go(func() {
			victim := filepath.Join(top, "victim")
			for range 20 { // any of it may fail: the removal wins sometimes
				if os.Rename(victim, victim+"-away") == nil {
					os.Symlink(sentinel, victim)
				}
				os.Remove(victim)
				os.Rename(victim+"-away", victim)
			}
		})
		_, err := localstore.Remove(top)
		attack.Wait()
		if _, serr := os.Stat(sentinel + "/precious"); serr != nil {
			t.Fatal("the sentinel is gone:", serr, err)
		}
	}
}

func TestMoveReadOnlyDirectory(t *testing.T) {
	top := tree(t, map[string]string{"file": "x"})
	if err := localstore.Canonicalise(top, localstore.Options{BuilderUID: -1}); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "there")
	if err := localstore.Move(top, to); err != nil {
		t.Fatal(err)
	}
	if st := stat(t, to); st.Mode != 0o40555 {
		t.Fatalf("mode %o", st.Mode)
	}
	if err := localstore.Move(tree(t, map[string]string{"f": "y"}), to); err == nil {
		t.Fatal("it overwrote")
	}
	if _, err := localstore.Remove(to); err != nil {
		t.Fatal(err)
	}
}

func TestScan(t *testing.T) {
	a, err := storepath.ParseBase(strings.Repeat("a", 32) + "-a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := storepath.ParseBase(strings.Repeat("b", 32) + "-b")
	if err != nil {
		t.Fatal(err)
	}
	top := tree(t, map[string]string{"f": "see /nix/store/" + b.Base() + "/bin", "l": "->/elsewhere"})
	got, err := localstore.Scan(top, []storepath.Path{a, b})
	if err != nil || len(got.References) != 1 || got.References[0] != b {
		t.Fatal(got, err)
	}
	h, err := localstore.HashTree(top, storepath.NAR, nixhash.SHA256)
	if err != nil || h != got.NarHash {
		t.Fatal(h, got.NarHash, err)
	}
	if _, err := localstore.HashTree(top, storepath.Flat, nixhash.SHA256); err == nil {
		t.Fatal("a directory was hashed flat")
	}
	flat, err := localstore.HashTree(top+"/f", storepath.Flat, nixhash.SHA256)
	if err != nil || flat != nixhash.Sum(nixhash.SHA256, []byte("see /nix/store/"+b.Base()+"/bin")) {
		t.Fatal(flat, err)
	}
	if _, err := localstore.HashTree(top+"/l", storepath.Flat, nixhash.SHA256); err == nil {
		t.Fatal("a link was hashed flat")
	}
}

func TestTempRoots(t *testing.T) {
	l := layout(t)
	stale := l.StateDir + "/temproots/1"
	if err := os.MkdirAll(filepath.Dir(stale), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := localstore.OpenTempRoots(l)
	if err != nil {
		t.Fatal(err)
	}
	p, err := storepath.ParseBase(strings.Repeat("a", 32) + "-a")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	file := fmt.Sprintf("%s/temproots/%d", l.StateDir, os.Getpid())
	if text, err := os.ReadFile(file); err != nil || string(text) != "/nix/store/"+p.Base()+"\x00" {
		t.Fatalf("%q %v", text, err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("a dead process's roots are still there")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("our roots are still there")
	}
}

// Who prepares a store may find another at work there; who cleans it, after it
// was prepared, may not.
func TestPrepareCleansUp(t *testing.T) {
	l := layout(t)
	for _, dir := range []string{l.StagingDir(), l.BuildsDir()} {
		if err := os.MkdirAll(dir+"/leftover/deep", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := localstore.Prepare(l, ""); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{l.StagingDir(), l.BuildsDir()} {
		if _, err := os.Stat(dir + "/leftover/deep"); err != nil {
			t.Errorf("another's work is gone: %v", err)
		}
	}
	if err := l.CleanStaging(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{l.StagingDir(), l.BuildsDir(), l.SandboxesDir()} {
		if _, err := os.Stat(dir + "/leftover"); err == nil {
			t.Errorf("a leftover is still in %s", dir)
		}
		if st := stat(t, dir); st.Mode&0o777 != 0o700 {
			t.Errorf("%s: mode %o", dir, st.Mode)
		}
	}
}

// Row U4: as root the store belongs to root and the build group, and is sticky.
func TestStorePermissions(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the store's owner is only set by root")
	}
	l := layout(t)
	if err := localstore.Prepare(l, "nogroup"); err != nil {
		t.Fatal(err)
	}
	if st := stat(t, l.RealStoreDir()); st.Mode&0o7777 != 0o1775 || st.Uid != 0 || st.Gid != 65534 {
		t.Fatalf("mode %o, owner %d:%d", st.Mode, st.Uid, st.Gid)
	}
}

func TestFlush(t *testing.T) {
	l := layout(t)
	few, many := tree(t, map[string]string{"a": "x"}), map[string]string{}
	for i := range 40 {
		many[fmt.Sprint(i)] = "x"
	}
	for _, top := range []string{few, tree(t, many)} {
		if err := l.Flush(top); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
}
