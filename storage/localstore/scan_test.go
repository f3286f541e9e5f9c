package localstore_test

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

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

// left makes what a builder might leave: files that nobody can read, a directory that
// nobody can look into, two names of a file, links.
func left(t *testing.T, refersTo string) (top string) {
	top = tree(t, map[string]string{"bin/tool": "#!" + refersTo, "bin/empty": "", "locked/secret": "x", "big": strings.Repeat("y", 1<<18), "lib": "->bin", "z": "->z"})
	if err := os.Link(top+"/big", top+"/again"); err != nil {
		t.Fatal(err)
	}
	for p, mode := range map[string]os.FileMode{"bin/tool": 0o755, "big": 0, "locked/secret": 0o200, "locked": 0o100} {
		if err := os.Chmod(top+"/"+p, mode); err != nil {
			t.Fatal(err)
		}
	}
	return top
}

// TestTake: one pass finds what two find, and leaves what they leave; and when it was
// read is not written down.
func TestTake(t *testing.T) {
	a, err := storepath.ParseBase(strings.Repeat("a", 32) + "-a")
	if err != nil {
		t.Fatal(err)
	}
	o := localstore.Options{BuilderUID: os.Geteuid(), Seen: map[localstore.Inode]struct{}{}}
	one, two := left(t, a.Base()), left(t, a.Base())
	more := func() ([]storepath.Path, error) { return []storepath.Path{a}, nil }
	got, err := localstore.Take(one, o, nil, more)
	if err != nil {
		t.Fatal(err)
	}
	if err := localstore.Canonicalise(two, o); err != nil {
		t.Fatal(err)
	}
	want, err := localstore.Scan(two, []storepath.Path{a})
	if err != nil || !reflect.DeepEqual(got, want) || len(got.References) != 1 {
		t.Errorf("%v, want %v (%v)", got, want, err)
	}
	for p, mode := range map[string]uint32{"": 0o40555, "bin": 0o40555, "bin/tool": 0o100555, "bin/empty": 0o100444, "big": 0o100444, "again": 0o100444, "locked": 0o40555,
		"locked/secret": 0o100444, "lib": 0o120777} {
		st := stat(t, one+"/"+p)
		if st.Mode != mode || st.Mtim.Nano() != 1e9 || st.Mode&unix.S_IFMT != unix.S_IFLNK && os.Geteuid() == 0 && st.Atim.Nano() != 1e9 {
			t.Errorf("%q: mode %o, times %d and %d", p, st.Mode, st.Mtim.Nano(), st.Atim.Nano())
		}
	}
}

// TestTakeFails: what is no store object is told from what could not be looked up.
func TestTakeFails(t *testing.T) {
	top := tree(t, map[string]string{"dir/file": strings.Repeat("a", 32)})
	lost := errors.New("lost")
	var unfit *localstore.UnfitError
	_, err := localstore.Take(top, localstore.Options{BuilderUID: -1}, nil, func() ([]storepath.Path, error) { return nil, lost })
	if !errors.Is(err, lost) || errors.As(err, &unfit) || err.Error() != "scan '"+top+"': lost" {
		t.Error(err)
	}
	_, err = localstore.Take(top, localstore.Options{BuilderUID: os.Geteuid() + 1}, nil, nil)
	if !errors.As(err, &unfit) || err.Error() != "invalid ownership on file '"+top+"'" {
		t.Error(err)
	}
	if err := unix.Mkfifo(top+"/pipe", 0o644); err == nil {
		_, err = localstore.Take(top, localstore.Options{BuilderUID: -1}, nil, nil)
		if !errors.As(err, &unfit) || err.Error() != "file '"+top+"/pipe' has an unsupported type" {
			t.Error(err)
		}
	}
}
