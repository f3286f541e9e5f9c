package upkeep_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"troupe/storage/addition"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/upkeep"
	"troupe/storage/validity"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// store has a chain of three texts, of which each refers to the one before, and
// one by itself.
type store struct {
	localstore.Layout
	db    *validity.DB
	chain []storepath.Path
	alone storepath.Path
}

func newStore(t *testing.T) store {
	t.Helper()
	root, err := os.MkdirTemp("", "upkeep-")
	must(t, err)
	t.Cleanup(func() {
		_, err := localstore.Remove(root)
		must(t, err)
	})
	s := store{Layout: localstore.Layout{Dir: "/nix/store", Root: root, StateDir: root + "/nix/var/nix", LogDir: root + "/nix/var/log/nix"}}
	must(t, localstore.Prepare(s.Layout, ""))
	s.db, err = validity.Open("/db", validity.Options{FS: vfs.NewMem()})
	must(t, err)
	t.Cleanup(func() { must(t, s.db.Close()) })
	ctx := context.Background()
	a := &addition.Adder{Layout: s.Layout, DB: s.db}
	var refs []storepath.Path
	for n := range 3 {
		text := fmt.Sprint("text ", n)
		for _, r := range refs {
			text += s.Dir.Join(r)
		}
		p, err := a.Text(ctx, fmt.Sprint("chain-", n), []byte(text), refs)
		must(t, err)
		s.chain, refs = append(s.chain, p), []storepath.Path{p}
	}
	s.alone, err = a.Text(ctx, "alone", []byte("text 0"), nil)
	must(t, err)
	must(t, a.Commit(ctx, append(s.chain, s.alone)...))
	return s
}

func (s store) change(t *testing.T, p storepath.Path, text string) {
	t.Helper()
	real := s.RealPath(p)
	must(t, errors.Join(os.Chmod(real, 0o644), os.WriteFile(real, []byte(text), 0o444), os.Chmod(real, 0o444)))
}

func (s store) verification(said *[]string) *upkeep.Verification {
	return &upkeep.Verification{Layout: s.Layout, DB: s.db, Contents: true, Forget: true, Say: func(level int, text string) {
		if level == upkeep.LevelError {
			*said = append(*said, text)
		}
	}}
}

// The words are those of nix-store --verify 2.8.0.
func TestVerify(t *testing.T) {
	for what, c := range map[string]struct {
		harm  func(t *testing.T, s store)
		say   []string // about chain-N
		found upkeep.Found
		gone  []int
	}{
		"well": {func(*testing.T, store) {}, nil, upkeep.Found{Checked: 4, Expected: 4}, nil},
		"modified": {func(t *testing.T, s store) { s.change(t, s.chain[1], "other") },
			[]string{"path 'chain-1' was modified! expected hash 'sha256:"}, upkeep.Found{Checked: 4, Expected: 4, Wrong: 1}, nil},
		"vanished": {func(t *testing.T, s store) { must(t, os.Remove(s.RealPath(s.chain[2]))) },
			[]string{"path 'chain-2' disappeared, removing from database..."}, upkeep.Found{Checked: 3, Expected: 4, Wrong: 1, Mended: 1}, []int{2}},
		"vanished, with referrers": {func(t *testing.T, s store) { must(t, os.Remove(s.RealPath(s.chain[0]))) },
			[]string{"path 'chain-0' disappeared, but it still has valid referrers!"}, upkeep.Found{Checked: 4, Expected: 4, Wrong: 1}, nil},
		"all vanished": {func(t *testing.T, s store) {
			for _, p := range s.chain {
				must(t, os.Remove(s.RealPath(p)))
			}
		}, []string{"path 'chain-0' disappeared, removing from database...", "path 'chain-1' disappeared, removing from database...",
			"path 'chain-2' disappeared, removing from database..."}, upkeep.Found{Checked: 1, Expected: 4, Wrong: 3, Mended: 3}, []int{0, 1, 2}},
		"ends vanished": {func(t *testing.T, s store) {
			must(t, errors.Join(os.Remove(s.RealPath(s.chain[0])), os.Remove(s.RealPath(s.chain[2]))))
		}, []string{"path 'chain-0' disappeared, but it still has valid referrers!", "path 'chain-2' disappeared, removing from database..."},
			upkeep.Found{Checked: 3, Expected: 4, Wrong: 2, Mended: 1}, []int{2}},
		"lower two vanished": {func(t *testing.T, s store) {
			must(t, errors.Join(os.Remove(s.RealPath(s.chain[0])), os.Remove(s.RealPath(s.chain[1]))))
		}, []string{"path 'chain-0' disappeared, but it still has valid referrers!", "path 'chain-1' disappeared, but it still has valid referrers!"},
			upkeep.Found{Checked: 4, Expected: 4, Wrong: 2}, nil},
		"no file": {func(t *testing.T, s store) {
			must(t, errors.Join(os.Remove(s.RealPath(s.chain[2])), os.Symlink("x", s.RealPath(s.chain[2]))))
		}, []string{"path 'chain-2' was modified!"}, upkeep.Found{Checked: 4, Expected: 4, Wrong: 1}, nil},
	} {
		s := newStore(t)
		c.harm(t, s)
		var said []string
		found, err := s.verification(&said).Run(context.Background())
		if err != nil || found != c.found || len(said) != len(c.say) {
			t.Errorf("%s: %+v %q %v", what, found, said, err)
			continue
		}
		slices.Sort(said)
		for n, want := range c.say {
			for _, p := range s.chain {
				want = strings.ReplaceAll(want, "'"+p.Name()+"'", "'"+s.Dir.Join(p)+"'")
			}
			if !slices.ContainsFunc(said, func(text string) bool { return strings.HasPrefix(text, want) }) {
				t.Errorf("%s: it says %q, want %q", what, said, c.say[n])
			}
		}
		for n, p := range s.chain {
			if valid, err := s.db.Valid(p); err != nil || valid == slices.Contains(c.gone, n) {
				t.Errorf("%s: chain-%d is valid: %v, %v", what, n, valid, err)
			}
		}
	}
}

// Who only looks changes nothing.
func TestVerifyOnlyLooks(t *testing.T) {
	s := newStore(t)
	must(t, os.Remove(s.RealPath(s.chain[2])))
	var said []string
	v := s.verification(&said)
	v.Forget = false
	found, err := v.Run(context.Background())
	if err != nil || found.Wrong != 1 || found.Mended != 0 || len(said) != 1 || said[0] != "path '"+s.Dir.Join(s.chain[2])+"' disappeared, but it is valid" {
		t.Errorf("%+v %q %v", found, said, err)
	}
	if valid, err := s.db.Valid(s.chain[2]); err != nil || !valid {
		t.Error(valid, err)
	}
}

// What is missing but needed, and what was changed, is repaired; that it cannot
// be is told.
func TestVerifyRepairs(t *testing.T) {
	for _, can := range []bool{true, false} {
		s := newStore(t)
		must(t, os.Remove(s.RealPath(s.chain[0])))
		s.change(t, s.alone, "text 1")
		var asked []storepath.Path
		var said []string
		v := s.verification(&said)
		v.Repair = func(_ context.Context, p storepath.Path) error {
			asked = append(asked, p)
			if !can {
				return errors.New("no way")
			}
			must(t, os.WriteFile(s.RealPath(p)+".new", []byte("text 0"), 0o444))
			return os.Rename(s.RealPath(p)+".new", s.RealPath(p))
		}
		found, err := v.Run(context.Background())
		want := upkeep.Found{Checked: 4, Expected: 4, Wrong: 2}
		if can {
			want.Mended = 2
		}
		if err != nil || found != want || !slices.Equal(asked, []storepath.Path{s.chain[0], s.alone}) || slices.Contains(said, "no way") == can {
			t.Errorf("%+v %v %v %q", found, err, asked, said)
		}
	}
}

// A link that is not what its name says goes when repair is asked for, and the
// file that has its contents is found by its path.
func TestVerifyLinks(t *testing.T) {
	s := newStore(t)
	if _, err := upkeep.Optimise(context.Background(), s.Layout, s.db, func(text string) { t.Error(text) }, nil); err != nil {
		t.Fatal(err)
	}
	s.change(t, s.alone, "spoilt")
	var said []string
	v := s.verification(&said)
	found, err := v.Run(context.Background())
	if err != nil || found.Wrong != 3 || len(said) != 3 || !strings.HasPrefix(said[0], "link '"+s.LinksDir()+"/") || !strings.Contains(said[0], "' was modified! expected hash '") {
		t.Errorf("%+v %q %v", found, said, err)
	}
	said = nil
	v = s.verification(&said)
	v.Repair = func(context.Context, storepath.Path) error { return errors.New("no way") }
	if found, err = v.Run(context.Background()); err != nil || found.Mended != 1 || len(said) < 2 || !strings.HasPrefix(said[1], "removed link '"+s.LinksDir()) {
		t.Errorf("%+v %q %v", found, said, err)
	}
	if left, err := os.ReadDir(s.LinksDir()); err != nil || len(left) != 2 {
		t.Error(left, err)
	}
}

func TestVerifyCancelled(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	var said []string
	v := s.verification(&said)
	v.At = func(f upkeep.Found) { cancel() }
	if _, err := v.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Equal files of all paths become one.
func TestOptimise(t *testing.T) {
	s := newStore(t)
	var told []localstore.Saved
	saved, err := upkeep.Optimise(context.Background(), s.Layout, s.db, func(text string) { t.Error(text) },
		func(s localstore.Saved) { told = append(told, s) })
	if err != nil || saved.Files != 1 || saved.Bytes != 6 || len(told) != 4 || told[3] != saved {
		t.Errorf("%+v %v %v", saved, err, told)
	}
	a, err := os.Stat(s.RealPath(s.alone))
	must(t, err)
	b, err := os.Stat(s.RealPath(s.chain[0]))
	must(t, err)
	if !os.SameFile(a, b) {
		t.Error("they are two files")
	}
	var said []string
	if found, err := s.verification(&said).Run(context.Background()); err != nil || found.Wrong > 0 {
		t.Errorf("%+v %q %v", found, said, err)
	}
}
