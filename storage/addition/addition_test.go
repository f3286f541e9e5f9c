package addition_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"troupe/storage/addition"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// store is an empty one.
type store struct {
	localstore.Layout
	db *validity.DB
}

func newStore(t *testing.T) store {
	t.Helper()
	return storeIn(t, tempDir(t))
}

func storeIn(t *testing.T, root string) store {
	t.Helper()
	l := localstore.Layout{Dir: "/nix/store", Root: root, StateDir: root + "/nix/var/nix", LogDir: root + "/nix/var/log/nix"}
	must(t, localstore.Prepare(l, ""))
	db, err := validity.Open("/db", validity.Options{FS: vfs.NewMem()})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return store{l, db}
}

func (s store) adder() *addition.Adder { return &addition.Adder{Layout: s.Layout, DB: s.db} }

// contents are all names in the store and in its staging directory.
func (s store) contents(t *testing.T) (names []string) {
	t.Helper()
	for _, dir := range []string{s.RealStoreDir(), s.StagingDir(), s.BuildsDir()} {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			if place := filepath.Join(dir, e.Name()); place != s.StagingDir() && place != s.SandboxesDir() {
				names = append(names, e.Name())
			}
		}
	}
	return names
}

// want holds what the store has against paths.
func (s store) want(t *testing.T, paths ...storepath.Path) {
	t.Helper()
	var names []string
	for _, p := range paths {
		names = append(names, p.Base())
		info, ok, err := s.db.Get(p)
		if err != nil || !ok {
			t.Errorf("%s: valid is %v, %v", p, ok, err)
			continue
		}
		got, err := localstore.Scan(s.RealPath(p), nil)
		if err != nil || got.NarHash != info.NarHash || got.NarSize != info.NarSize {
			t.Errorf("%s has %v, %v, its record %v", p, got, err, info)
		}
	}
	slices.Sort(names)
	if got := s.contents(t); !slices.Equal(got, names) {
		t.Errorf("the store has %q, want %q", got, names)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tempDir goes when the test ends, also where an ordinary user cannot write to
// what is in it.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "addition-")
	must(t, err)
	t.Cleanup(func() {
		_, err := localstore.Remove(dir)
		must(t, err)
	})
	return dir
}

func sampleTree(t *testing.T) string {
	t.Helper()
	tree := tempDir(t) + "/tree"
	must(t, errors.Join(os.MkdirAll(tree+"/sub", 0o755), os.Mkdir(tree+"/empty", 0o700),
		os.WriteFile(tree+"/text", []byte("text\n"), 0o640), os.WriteFile(tree+"/sub/program", []byte("#!"), 0o755),
		os.Symlink("sub/program", tree+"/link")))
	return tree
}

// The paths and hashes are those that Nix gave the same things.
func TestAdd(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	a := s.adder()
	tree := sampleTree(t)
	added, err := a.Tree(ctx, tree, "tree")
	must(t, err)
	file, err := a.Tree(ctx, tree+"/text", "file")
	must(t, err)
	greeting, err := a.Text(ctx, "greeting", []byte("hello\n"), nil)
	must(t, err)
	letter, err := a.Text(ctx, "letter", []byte(s.Dir.Join(greeting)+" world\n"), []storepath.Path{greeting})
	must(t, err)
	s.want(t, added, file, greeting, letter)
	for _, c := range []struct {
		path           storepath.Path
		base, hash, ca string
		refs           []storepath.Path
	}{
		{added, "j3vx8azsp3sa8smjiynkaxinwd5v7z6m-tree", "60b7433359bfa602170a207af94f4310e21a0e8d22ea6f8630a07403b5b42de9", "fixed:r:sha256:", nil},
		{file, "p7a8c4r64052pjb37f68jblang4l7vcq-file", "d69d5d02aa90df2511dd4880db742e6d6e1e3dcfbacffa01f7fe3dcc1ad9cbb3", "fixed:r:sha256:", nil},
		{greeting, "ybf7by4xvcgjhwilsg87rqz9di79bify-greeting", "", "text:sha256:", nil},
		{letter, "2l7rgglanpfikqddfw9f3ia0bswg34gp-letter", "", "text:sha256:", []storepath.Path{greeting}},
	} {
		info, _, err := s.db.Get(c.path)
		must(t, err)
		if c.path.Base() != c.base || c.hash != "" && info.NarHash.Base16() != c.hash || !strings.HasPrefix(info.CA, c.ca) || !slices.Equal(info.References, c.refs) {
			t.Errorf("want %v, got %v", c, info)
		}
	}
	if referrers, err := s.db.Referrers(greeting); err != nil || !slices.Equal(referrers, []storepath.Path{letter}) {
		t.Error(referrers, err)
	}
	must(t, a.Commit(ctx, letter, added))
	for p, want := range map[storepath.Path]bool{added: true, greeting: true, letter: true, file: false} {
		if durable, err := s.db.Durable(p); err != nil || durable != want {
			t.Errorf("%s: durable is %v, %v", p, durable, err)
		}
	}
}

// What is not registered is not left in the store either.
func TestAddRefuses(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	a := s.adder()
	tree := sampleTree(t)
	unknown, err := storepath.ParseBase(strings.Repeat("0", 32) + "-unknown")
	must(t, err)
	for _, name := range []string{"", ".", "..", "a/b", "a b", strings.Repeat("x", 212)} {
		if _, err := a.Tree(ctx, tree, name); err == nil || !strings.Contains(err.Error(), "name") {
			t.Errorf("tree %q: %v", name, err)
		}
		if _, err := a.Text(ctx, name, nil, nil); err == nil || !strings.Contains(err.Error(), "name") {
			t.Errorf("text %q: %v", name, err)
		}
	}
	var missing *validity.MissingReferenceError
	if _, err := a.Text(ctx, "text", nil, []storepath.Path{unknown}); !errors.As(err, &missing) || missing.Reference != unknown {
		t.Error(err)
	}
	if _, err := a.Tree(ctx, tree+"/nothing", "nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	socket, err := net.Listen("unix", tree+"/sub/socket")
	must(t, err)
	defer socket.Close()
	if _, err := a.Tree(ctx, tree, "tree"); err == nil || !strings.Contains(err.Error(), "unsupported type") {
		t.Error(err)
	}
	s.want(t)
}

// A source that nobody can write to, and one that cannot be read.
func TestAddReadOnly(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	tree := sampleTree(t)
	must(t, errors.Join(os.Chmod(tree+"/text", 0o444), os.Chmod(tree+"/sub", 0o555), os.Chmod(tree, 0o555)))
	p, err := s.adder().Tree(ctx, tree, "tree")
	must(t, err)
	s.want(t, p)
	if os.Geteuid() == 0 {
		return // who can read all
	}
	must(t, os.Chmod(tree+"/text", 0))
	if _, err := s.adder().Tree(ctx, tree, "other"); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
	s.want(t, p)
}

// A leftover at the place gives way; what is valid there stays, also when it is
// added again.
func TestAddWhereSomethingIs(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	tree := sampleTree(t)
	leftover := s.RealStoreDir() + "/j3vx8azsp3sa8smjiynkaxinwd5v7z6m-tree"
	must(t, errors.Join(os.MkdirAll(leftover+"/half", 0o755), os.Chmod(leftover, 0o555)))
	p, err := s.adder().Tree(ctx, tree, "tree")
	must(t, err)
	s.want(t, p)
	before, err := os.Stat(leftover)
	must(t, err)
	again, err := s.adder().Tree(ctx, tree, "tree")
	must(t, err)
	after, err := os.Stat(leftover)
	must(t, err)
	if again != p || !os.SameFile(before, after) {
		t.Errorf("%s was replaced", p)
	}
}

// Many add the same things at once and commit them; what one was told is added
// is there, whatever the others do.
func TestAddAtOnce(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	tree := sampleTree(t)
	const names, commitEvery = 40, 10
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			a := s.adder()
			for n := range names {
				p, err := a.Tree(ctx, tree, fmt.Sprint("tree-", n))
				if err == nil {
					_, err = os.Stat(s.RealPath(p) + "/sub/program")
				}
				if err == nil && n%commitEvery == 0 {
					err = a.Commit(ctx, p)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := s.contents(t); len(got) != names {
		t.Errorf("the store has %q", got)
	}
}
