package addition_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"troupe/storage/addition"
	"troupe/storage/nixhash"
	"troupe/storage/pathlock"
	"troupe/storage/signature"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

var trustAll = addition.Terms{Trusted: true}

// sample is an archive and the record of a path that is addressed by input.
func sample(t *testing.T, name string) (validity.Info, []byte) {
	t.Helper()
	sent := archiveOf(t, sampleTree(t))
	p, err := storepath.ParseBase(strings.Repeat("1", 32) + "-" + name)
	must(t, err)
	deriver, err := storepath.ParseBase(strings.Repeat("2", 32) + "-" + name + ".drv")
	must(t, err)
	return validity.Info{Path: p, NarHash: nixhash.Sum(nixhash.SHA256, sent), NarSize: uint64(len(sent)), Deriver: deriver,
		RegistrationTime: 12345, Signatures: []string{"cache-1:AAAA"}, Ultimate: true}, sent
}

// All that a record says is kept, but not that it was made here, unless somebody
// says so who is trusted.
func TestAddNar(t *testing.T) {
	ctx := context.Background()
	for _, trusted := range []bool{true, false} {
		s := newStore(t)
		a := s.adder()
		a.Trust.Everything = true
		info, sent := sample(t, "tree")
		r := bytes.NewReader(append(bytes.Clone(sent), "more"...))
		must(t, a.AddNar(ctx, info, r, addition.Terms{Trusted: trusted}))
		s.want(t, info.Path)
		got, _, err := s.db.Get(info.Path)
		must(t, err)
		info.Ultimate = trusted
		if fmt.Sprint(got) != fmt.Sprint(info) || r.Len() != 4 {
			t.Errorf("got %+v, want %+v, and %d bytes are left", got, info, r.Len())
		}
		again := bytes.NewReader(append(bytes.Clone(sent), "more"...)) // it is read all the same
		must(t, a.AddNar(ctx, info, again, addition.Terms{Trusted: trusted}))
		if again.Len() != 4 {
			t.Errorf("%d bytes are left", again.Len())
		}
	}
}

// An archive that is not what was announced never gets its name.
func TestAddNarThatLies(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	for what, c := range map[string]struct {
		change func(*validity.Info, []byte) []byte
		want   string
	}{
		"hash":        {func(i *validity.Info, b []byte) []byte { i.NarHash = nixhash.Sum(nixhash.SHA256, nil); return b }, "hash mismatch importing path '/nix/store/11111111111111111111111111111111-tree';\n  specified: sha256:"},
		"size":        {func(i *validity.Info, b []byte) []byte { i.NarSize++; return b }, "size mismatch importing path '/nix/store/11111111111111111111111111111111-tree';\n  specified: "},
		"no hash":     {func(i *validity.Info, b []byte) []byte { i.NarHash = nixhash.Hash{}; return b }, "not a SHA-256"},
		"short":       {func(i *validity.Info, b []byte) []byte { return b[:len(b)-9] }, "cut short"},
		"reference":   {func(i *validity.Info, b []byte) []byte { i.References = []storepath.Path{i.Deriver}; return b }, "is not valid"},
		"bad address": {func(i *validity.Info, b []byte) []byte { i.CA = "x"; return b }, "content address"},
		"other address": {func(i *validity.Info, b []byte) []byte { i.CA = "fixed:r:" + i.NarHash.String(); return b },
			"cannot add path '/nix/store/11111111111111111111111111111111-tree' to the Nix store because it claims to be content-addressed but isn't"},
		"address of others": {func(i *validity.Info, b []byte) []byte {
			h := nixhash.Sum(nixhash.SHA256, []byte("other"))
			p, err := s.Dir.MakeFixed("tree", storepath.NAR, h, nil, false)
			must(t, err)
			i.Path, i.CA = p, "fixed:r:"+h.String()
			return b
		}, "ca hash mismatch importing path"},
		"text that is a tree": {func(i *validity.Info, b []byte) []byte {
			p, err := s.Dir.MakeText("tree", i.NarHash, nil)
			must(t, err)
			i.Path, i.CA = p, "text:"+i.NarHash.String()
			return b
		}, "regular file"},
		"derivation": {func(i *validity.Info, b []byte) []byte { i.Path = i.Deriver; return b }, "add derivation"},
	} {
		info, sent := sample(t, "tree")
		sent = c.change(&info, sent)
		err := s.adder().AddNar(ctx, info, bytes.NewReader(sent), trustAll)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), s.Dir.Join(info.Path)) && what != "bad address" {
			t.Errorf("%s: %v", what, err)
		}
		s.want(t)
	}
}

// Who is not trusted needs a signature by somebody who is, or a name that
// follows from the contents; who is trusted may ask for it.
func TestAddNarNeedsSignature(t *testing.T) {
	ctx := context.Background()
	const secret = "test-1:j1Ar2aNjYzLHzeaRpGU0GtSgyQHJhF2olkwQmEHEmZSheXfUI1ykr9MMBdXCjjE3vtShaVGtq85Ggzg9+Znlhw=="
	file := tempDir(t) + "/key"
	must(t, os.WriteFile(file, []byte(secret), 0o600))
	keys, err := signature.ReadSecretKeys([]string{file})
	must(t, err)
	for _, c := range []struct {
		terms                  addition.Terms
		signed, byContents, ok bool
	}{
		{addition.Terms{}, false, false, false},
		{addition.Terms{}, true, false, true},
		{addition.Terms{}, false, true, true},
		{addition.Terms{Repair: true}, false, false, false},
		{addition.Terms{Trusted: true, CheckSigs: true}, false, false, false},
		{addition.Terms{Trusted: true, CheckSigs: true}, true, false, true},
		{addition.Terms{Trusted: true}, false, false, true},
	} {
		s := newStore(t)
		a := s.adder()
		a.Trust.Keys = keys.Public()
		info, sent := sample(t, "tree")
		if c.byContents {
			info.CA = "fixed:r:" + info.NarHash.String()
			info.Path, err = s.Dir.MakeFixed("tree", storepath.NAR, info.NarHash, nil, false)
			must(t, err)
		}
		if c.signed {
			info.Signatures, err = keys.Sign(s.Dir, info)
			must(t, err)
		}
		r := bytes.NewReader(sent)
		err := a.AddNar(ctx, info, r, c.terms)
		var untrusted *addition.UntrustedError
		if (err == nil) != c.ok || err != nil && !(errors.As(err, &untrusted) &&
			err.Error() == "cannot add path '"+s.Dir.Join(info.Path)+"' because it lacks a signature by a trusted key" && r.Len() == len(sent)) {
			t.Errorf("%+v: %v, %d bytes are left", c, err, r.Len())
		}
	}
}

// A repair replaces contents and record.
func TestAddNarRepairs(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	a := s.adder()
	info, sent := sample(t, "tree")
	must(t, a.AddNar(ctx, info, bytes.NewReader(sent), trustAll))
	must(t, a.Commit(ctx, info.Path))
	other := tempDir(t) + "/other"
	must(t, os.WriteFile(other, []byte("other"), 0o644))
	sent = archiveOf(t, other)
	info.NarHash, info.NarSize = nixhash.Sum(nixhash.SHA256, sent), uint64(len(sent))
	must(t, a.AddNar(ctx, info, bytes.NewReader(sent), trustAll))
	if got, _, err := s.db.Get(info.Path); err != nil || got.NarHash == info.NarHash {
		t.Errorf("it was replaced without repair: %v", err)
	}
	must(t, a.AddNar(ctx, info, bytes.NewReader(sent), addition.Terms{Trusted: true, Repair: true}))
	s.want(t, info.Path)
}

// A path by its contents that refers to itself is as Nix makes them.
func TestAddNarThatNamesItself(t *testing.T) {
	ctx := context.Background()
	work, s := tempDir(t), newStore(t)
	s.Dir = storepath.Dir(work + "/store")
	s.Root = tempDir(t)
	must(t, os.MkdirAll(s.StagingDir(), 0o755))
	built := nix(t, work, s.Dir, nil, "nix-build", "--no-out-link", "-E",
		`derivation { name = "own"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo $out/bin $out > $out" ]; }`)
	var made struct{ Rewrites map[string]string }
	must(t, json.Unmarshal([]byte(nix(t, work, s.Dir, nil, "nix", "store", "make-content-addressed", "--json", built)), &made))
	var known []struct {
		NarHash, CA string
		NarSize     uint64
	}
	path := made.Rewrites[built]
	must(t, json.Unmarshal([]byte(nix(t, work, s.Dir, nil, "nix", "path-info", "--json", path)), &known))
	p, err := s.Dir.Parse(path)
	must(t, err)
	h, err := nixhash.Parse(known[0].NarHash, 0)
	must(t, err)
	info := validity.Info{Path: p, NarHash: h, NarSize: known[0].NarSize, CA: known[0].CA, References: []storepath.Path{p}}
	sent := archiveOf(t, path)
	must(t, s.adder().AddNar(ctx, info, bytes.NewReader(sent), addition.Terms{}))
	s.want(t, p)
	info.References = nil
	if err := s.adder().AddNar(ctx, info, bytes.NewReader(sent), addition.Terms{}); err == nil || !strings.Contains(err.Error(), "claims to be content-addressed") {
		t.Error(err)
	}
}

// chain is a stream of paths, each but the first with a reference to the one
// before.
func chain(t *testing.T, n int) (items []addition.Item, paths []storepath.Path) {
	t.Helper()
	sent := archiveOf(t, sampleTree(t))
	for i := range n {
		p, err := storepath.ParseBase(fmt.Sprintf("%032d-link", i))
		must(t, err)
		info := validity.Info{Path: p, NarHash: nixhash.Sum(nixhash.SHA256, sent), NarSize: uint64(len(sent))}
		if i > 0 {
			info.References = []storepath.Path{paths[i-1]}
		}
		items, paths = append(items, addition.Item{Info: info, Archive: bytes.NewReader(sent)}), append(paths, p)
	}
	return items, paths
}

func nextOf(items []addition.Item, end error) func() (addition.Item, error) {
	return func() (addition.Item, error) {
		if len(items) == 0 {
			return addition.Item{}, end
		}
		item := items[0]
		items = items[1:]
		return item, nil
	}
}

// What came before a fault stays, durably; the error names what is wrong.
func TestAddMany(t *testing.T) {
	ctx := context.Background()
	for what, c := range map[string]struct {
		harm func(items []addition.Item)
		end  error
		good int
		want string // "" for no error
	}{
		"well":      {func([]addition.Item) {}, io.EOF, 5, ""},
		"hang-up":   {func([]addition.Item) {}, errHangUp, 5, "hang-up"},
		"hash":      {func(items []addition.Item) { items[3].Info.NarHash = nixhash.Sum(nixhash.SHA256, nil) }, io.EOF, 3, "00000000000000000000000000000003-link"},
		"cut short": {func(items []addition.Item) { items[2].Archive = strings.NewReader("") }, io.EOF, 2, "00000000000000000000000000000002-link"},
		"order":     {func(items []addition.Item) { items[0], items[1] = items[1], items[0] }, io.EOF, 0, "00000000000000000000000000000000-link"},
	} {
		s := newStore(t)
		items, paths := chain(t, 5)
		c.harm(items)
		err := s.adder().AddMany(ctx, nextOf(items, c.end), trustAll)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
		s.want(t, paths[:c.good]...)
		for n, p := range paths {
			if durable, err := s.db.Durable(p); err != nil || durable != (n < c.good) {
				t.Errorf("%s: %s is durable: %v, %v", what, p, durable, err)
			}
		}
	}
}

// Whoever sees to commits is asked for them, once for all, and also for what came
// before a fault.
func TestAddManyCommitsElsewhere(t *testing.T) {
	s := newStore(t)
	items, paths := chain(t, 5)
	items[3].Info.NarSize++
	a := s.adder()
	var asked [][]storepath.Path
	a.Durable = func(_ context.Context, some ...storepath.Path) error {
		asked = append(asked, slices.Clone(some))
		return errHangUp
	}
	err := a.AddMany(context.Background(), nextOf(items, io.EOF), trustAll)
	if len(asked) != 1 || !slices.Equal(asked[0], paths[:3]) || !errors.Is(err, errHangUp) || !strings.Contains(err.Error(), "size mismatch") {
		t.Errorf("asked for %v, %v", asked, err)
	}
	if durable, err := s.db.Durable(paths[0]); err != nil || durable {
		t.Errorf("durable is %v, %v", durable, err)
	}
}

// Several send the same at once; each is told when all of it is there.
func TestAddManyAtOnce(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	var wg sync.WaitGroup
	var want []storepath.Path
	for range 6 {
		items, paths := chain(t, 20)
		want = paths
		wg.Go(func() {
			err := s.adder().AddMany(ctx, nextOf(items, io.EOF), trustAll)
			if err == nil {
				_, err = os.Stat(s.RealPath(paths[19]) + "/sub/program")
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.want(t, want...)
}

// Who holds the lock is not made to wait for it, and what would be refused is
// known before.
func TestAddNarUnderTheCallersLock(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	info, sent := sample(t, "tree")
	lock, err := pathlock.Lock(ctx, []string{s.Layout.RealPath(info.Path)})
	must(t, err)
	a := s.adder()
	a.Held = true
	var untrusted *addition.UntrustedError
	if err := a.Admits(info, addition.Terms{Trusted: true, CheckSigs: true}); !errors.As(err, &untrusted) {
		t.Errorf("without a signature: %v", err)
	}
	must(t, a.Admits(info, trustAll))
	must(t, a.AddNar(ctx, info, bytes.NewReader(sent), trustAll))
	must(t, lock.Release(true))
	s.want(t, info.Path)
}

// peeking looks at a path each time that it is read.
type peeking struct {
	io.Reader
	path string
	seen bool
}

func (p *peeking) Read(b []byte) (int, error) {
	_, err := os.Lstat(p.path)
	p.seen = p.seen || err == nil
	return p.Reader.Read(b)
}

// TestNothingIsSeenBefore: while an archive comes, and until it was compared with what was
// announced, there is nothing at its name; after it was refused neither.
func TestNothingIsSeenBefore(t *testing.T) {
	ctx := context.Background()
	for _, lies := range []bool{false, true} {
		s := newStore(t)
		info, sent := sample(t, "tree")
		if lies {
			info.NarHash = nixhash.Sum(nixhash.SHA256, nil)
		}
		r := &peeking{Reader: bytes.NewReader(sent), path: s.RealPath(info.Path)}
		err := s.adder().AddNar(ctx, info, r, trustAll)
		_, serr := os.Lstat(r.path)
		if r.seen || (err != nil) != lies || (serr == nil) == lies {
			t.Errorf("it lies: %v; seen %v, %v, and then %v", lies, r.seen, err, serr)
		}
	}
}
