package addition_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"troupe/storage/addition"
	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

func archiveOf(t *testing.T, file string) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, nar.Dump(&b, file))
	return b.Bytes()
}

// nix runs a command of the real Nix on a store of its own that is named as dir.
func nix(t *testing.T, work string, dir storepath.Dir, stdin []byte, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		missing(t, args[0])
	}
	must(t, os.WriteFile(work+"/nix.conf", []byte("build-users-group =\nsandbox = false\nsubstitute = false\nexperimental-features = nix-command ca-derivations\n"), 0o644))
	c := exec.Command(args[0], args[1:]...)
	c.Stdin = bytes.NewReader(stdin)
	var said strings.Builder
	c.Stderr = &said
	c.Env = append(os.Environ(), "NIX_REMOTE=", "NIX_STORE_DIR="+string(dir), "NIX_STATE_DIR="+work+"/state", "NIX_LOG_DIR="+work+"/log",
		"NIX_LOCALSTATE_DIR="+work+"/state", "NIX_CONF_DIR="+work, "NIX_USER_CONF_FILES=", "HOME="+work)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, &said)
	}
	return strings.TrimSpace(string(out))
}

// Every method and algorithm gives the path and the content address that Nix
// gives.
func TestAddAsNix(t *testing.T) {
	work, s := tempDir(t), newStore(t)
	s.Dir = storepath.Dir(work + "/store")
	s.Root = tempDir(t)
	must(t, localstore.Prepare(s.Layout, ""))
	tree := sampleTree(t)
	for _, algorithm := range []nixhash.Algorithm{nixhash.MD5, nixhash.SHA1, nixhash.SHA256, nixhash.SHA512} {
		for method, flag := range map[storepath.Method][]string{storepath.Flat: nil, storepath.NAR: {"--recursive"}} {
			file, sent := tree+"/text", []byte("text\n")
			if method == storepath.NAR {
				file, sent = tree, archiveOf(t, tree)
			}
			args := append([]string{"nix-store", "--add-fixed", algorithm.String()}, flag...)
			want := nix(t, work, s.Dir, nil, append(args, file)...)
			a := s.adder()
			name := want[strings.LastIndex(want, "/")+34:]
			p, err := a.Add(context.Background(), addition.Object{Name: name, Method: method, Algorithm: algorithm}, bytes.NewReader(sent))
			if err != nil || s.Dir.Join(p) != want {
				t.Errorf("%v %v: %s, %v; Nix has %s", method, algorithm, s.Dir.Join(p), err, want)
				continue
			}
			info, _, err := s.db.Get(p)
			must(t, err)
			if theirs := nix(t, work, s.Dir, nil, "nix", "path-info", "--json", want); !strings.Contains(theirs, `"`+info.CA+`"`) || !strings.Contains(theirs, info.NarHash.SRI()) {
				t.Errorf("ours is %+v, Nix's %s", info, theirs)
			}
		}
	}
}

// Only what Nix lets have references has them, and nothing is read of what is
// refused.
func TestAddRules(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	ref, err := s.adder().Text(ctx, "ref", []byte("x"), nil)
	must(t, err)
	kept := []storepath.Path{ref}
	for _, m := range []storepath.Method{storepath.Flat, storepath.NAR, storepath.Text, storepath.Git} {
		for a := nixhash.MD5; a <= nixhash.BLAKE3; a++ {
			for _, refs := range [][]storepath.Path{nil, {ref}} {
				sent := []byte(s.Dir.Join(ref))
				if m == storepath.NAR || m == storepath.Git {
					file := tempDir(t) + "/file"
					must(t, os.WriteFile(file, sent, 0o644))
					sent = archiveOf(t, file)
				}
				r := bytes.NewReader(sent)
				allowed := a == nixhash.SHA256 && m != storepath.Flat || refs == nil && m != storepath.Text
				if m == storepath.Git {
					allowed = refs == nil && (a == nixhash.SHA1 || a == nixhash.SHA256)
				}
				p, err := s.adder().Add(ctx, addition.Object{Name: "x", Method: m, Algorithm: a, References: refs}, r)
				if (err == nil) != allowed {
					t.Errorf("%v %v with %d references: %v", m, a, len(refs), err)
				}
				if err == nil {
					kept = append(kept, p)
				} else if r.Len() != len(sent) {
					t.Errorf("%v %v was refused when it was read", m, a)
				}
			}
		}
	}
	s.want(t, kept...)
}

// What is sent again is read to its end, and what is there stays.
func TestAddAgain(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	sent := archiveOf(t, sampleTree(t))
	o := addition.Object{Name: "tree", Method: storepath.NAR, Algorithm: nixhash.SHA256}
	var stats []os.FileInfo
	for n, repair := range []bool{false, false, true} {
		o.Repair = repair
		r := bytes.NewReader(append(bytes.Clone(sent), "more"...))
		p, err := s.adder().Add(ctx, o, r)
		must(t, err)
		if p.Base() != "j3vx8azsp3sa8smjiynkaxinwd5v7z6m-tree" || r.Len() != 4 {
			t.Errorf("%d: %s, and %d bytes are left", n, p, r.Len())
		}
		s.want(t, p)
		st, err := os.Stat(s.RealPath(p))
		must(t, err)
		stats = append(stats, st)
	}
	if !os.SameFile(stats[0], stats[1]) || os.SameFile(stats[1], stats[2]) {
		t.Error("it was replaced without repair, or not with it")
	}
}

// A repair brings back what was changed, and what was lost.
func TestAddRepairs(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	sent := archiveOf(t, sampleTree(t))
	o := addition.Object{Name: "tree", Method: storepath.NAR, Algorithm: nixhash.SHA256, Repair: true}
	p, err := s.adder().Add(ctx, o, bytes.NewReader(sent))
	must(t, err)
	must(t, s.adder().Commit(ctx, p))
	real := s.RealPath(p)
	for _, harm := range []func() error{
		func() error { return os.Remove(real + "/link") },
		func() error { _, err := localstore.Remove(real); return err },
		func() error {
			_, err := localstore.Remove(real)
			return errors.Join(err, os.WriteFile(real, nil, 0o444))
		},
	} {
		must(t, os.Chmod(real, 0o755))
		must(t, harm())
		_, err := s.adder().Add(ctx, o, bytes.NewReader(sent))
		must(t, err)
		s.want(t, p)
		if st, err := os.Stat(real); err != nil || st.Mode().Perm() != 0o555 {
			t.Errorf("%v %v", st, err)
		}
	}
}

// cutShort ends in the middle, with an error or with nothing more.
type cutShort struct {
	io.Reader
	err error
}

func (c cutShort) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if err == io.EOF {
		err = c.err
	}
	return n, err
}

var errHangUp = errors.New("hang-up")

// Wherever a stream ends, nothing is left of it.
func TestAddCutShort(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	sent := archiveOf(t, sampleTree(t))
	for end := 0; end < len(sent); end += 1 + end%7 {
		for method, want := range map[storepath.Method]error{storepath.NAR: nil, storepath.Flat: errHangUp} {
			r := cutShort{bytes.NewReader(sent[:end]), errors.Join(io.EOF, want)}
			_, err := s.adder().Add(ctx, addition.Object{Name: "x", Method: method, Algorithm: nixhash.SHA256}, r)
			if err == nil || want != nil && !errors.Is(err, want) {
				t.Errorf("%v after %d bytes: %v", method, end, err)
			}
		}
	}
	s.want(t)
}

// A context that ends ends it, at whatever moment, and nothing is left.
func TestAddReceivingCancelled(t *testing.T) {
	s := newStore(t)
	sent := archiveOf(t, sampleTree(t))
	for end := 0; ; end++ {
		ctx := &endsAfter{Context: context.Background(), end: end}
		p, err := s.adder().Add(ctx, addition.Object{Name: "x", Method: storepath.NAR, Algorithm: nixhash.SHA1}, bytes.NewReader(sent))
		if err == nil {
			if end < 5 {
				t.Errorf("after %d looks at the context it was done", end)
			}
			s.want(t, p)
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		s.want(t)
	}
}

// A name that says derivation is taken for one that is right only, whatever the
// way in.
func TestAddDerivationByContents(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	in, file, paths := beside(t)
	right, err := os.ReadFile(file)
	must(t, err)
	for what, c := range map[string]struct {
		text string
		want string // "" where it is right
	}{
		"right":     {string(right), ""},
		"no text":   {"", "byte"},
		"not one":   {"Derive(", "byte"},
		"elsewhere": {strings.Replace(string(right), "/bin/sh", "/bin/bash", 1), "incorrect output"},
		"stolen":    {strings.ReplaceAll(string(right), outputOf(t, right), "/nix/store/"+strings.Repeat("0", 32)+"-top"), "incorrect output"},
	} {
		for _, m := range []storepath.Method{storepath.Text, storepath.Flat, storepath.NAR} {
			_, err := addition.ImportDerivation(ctx, s.adder(), dir, in+"/"+paths[1].Base()) // its inputs
			must(t, err)
			sent := []byte(c.text)
			if m == storepath.NAR {
				f := tempDir(t) + "/file"
				must(t, os.WriteFile(f, sent, 0o644))
				sent = archiveOf(t, f)
			}
			o := addition.Object{Name: "top.drv", Method: m, Algorithm: nixhash.SHA256}
			if m != storepath.Flat {
				o.References = paths[1:]
			}
			p, err := s.adder().Add(ctx, o, bytes.NewReader(sent))
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s, %v: %v", what, m, err)
				}
				continue
			}
			must(t, err)
			if outputs, err := s.db.Outputs(p); err != nil || s.Dir.Join(outputs["out"]) != outputOf(t, right) {
				t.Errorf("%v: outputs %v, %v", m, outputs, err)
			}
		}
	}
	if _, err := s.adder().Text(ctx, "top.drv", []byte("Derive("), nil); err == nil || !strings.Contains(err.Error(), "byte") {
		t.Error(err)
	}
	if _, err := s.adder().Tree(ctx, sampleTree(t), "tree.drv"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Error(err)
	}
	link := tempDir(t) + "/link"
	must(t, os.Symlink(file, link))
	if _, err := s.adder().Tree(ctx, link, "link.drv"); err == nil || !strings.Contains(err.Error(), "a symlink") {
		t.Error(err)
	}
}

// outputOf is the first output path in a derivation's text.
func outputOf(t *testing.T, text []byte) string {
	t.Helper()
	parts := strings.SplitN(string(text), `"`, 5)
	if len(parts) < 5 || parts[1] != "out" {
		t.Fatalf("%s", text)
	}
	return parts[3]
}

// A derivation whose input only lies in the store, where anything could have put
// it, is no measure for an output.
func TestAddDerivationNeedsValidInputs(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	in, file, paths := beside(t)
	text, err := os.ReadFile(file)
	must(t, err)
	input, err := os.ReadFile(in + "/" + paths[1].Base())
	must(t, err)
	must(t, os.WriteFile(s.RealPath(paths[1]), input, 0o444))
	_, err = s.adder().Text(ctx, "top.drv", text, nil)
	if err == nil || !strings.Contains(err.Error(), "is not valid") {
		t.Error(err)
	}
}

// Keep is told of a path before it is there.
func TestAddKeeps(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	a := s.adder()
	var kept []storepath.Path
	a.Keep = func(paths ...storepath.Path) error {
		for _, p := range paths {
			if valid, err := s.db.Valid(p); err != nil || valid {
				t.Errorf("%s: valid is %v, %v", p, valid, err)
			}
		}
		kept = append(kept, paths...)
		return nil
	}
	p, err := a.Add(ctx, addition.Object{Name: "x", Method: storepath.Flat, Algorithm: nixhash.MD5}, strings.NewReader("x"))
	must(t, err)
	if kept = slices.Compact(kept); len(kept) != 1 || kept[0] != p {
		t.Errorf("kept %v, added %v", kept, p)
	}
	a.Keep = func(...storepath.Path) error { return errHangUp }
	if _, err := a.Text(ctx, "y", nil, nil); !errors.Is(err, errHangUp) {
		t.Error(err)
	}
	s.want(t, p)
}

// zeros is a file of a size, as an archive has it, that nobody keeps.
func zeros(size uint64) io.Reader {
	head := new(bytes.Buffer)
	for _, s := range []string{"nix-archive-1", "(", "type", "regular", "contents"} {
		head.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(s))))
		head.WriteString(s + strings.Repeat("\x00", -len(s)&7))
	}
	head.Write(binary.LittleEndian.AppendUint64(nil, size))
	tail := bytes.NewReader([]byte("\x01\x00\x00\x00\x00\x00\x00\x00)\x00\x00\x00\x00\x00\x00\x00"))
	return io.MultiReader(head, io.LimitReader(zeroReader{}, int64(size)), tail)
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// What is received is never in memory as a whole, by whatever method.
func TestAddInLittleMemory(t *testing.T) {
	const size, most = 64 << 20, 4 << 20 // bytes
	s := newStore(t)
	for what, o := range map[string]addition.Object{
		"archive": {Name: "x", Method: storepath.NAR, Algorithm: nixhash.SHA256},
		"sha1":    {Name: "x", Method: storepath.NAR, Algorithm: nixhash.SHA1},
		"git":     {Name: "x", Method: storepath.Git, Algorithm: nixhash.SHA1},
		"flat":    {Name: "x", Method: storepath.Flat, Algorithm: nixhash.SHA256},
		"text":    {Name: "x", Method: storepath.Text, Algorithm: nixhash.SHA256},
	} {
		r := zeros(size)
		if o.Method == storepath.Flat || o.Method == storepath.Text {
			r = io.LimitReader(zeroReader{}, size)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := s.adder().Add(context.Background(), o, r)
		must(t, err)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > most {
			t.Errorf("%s: %d bytes of memory for %d", what, used, size)
		}
	}
}

// Where output paths are not known before the build, a derivation that names one
// anyway is refused, and one that names none is taken.
func TestAddDerivationThatCannotBeVerified(t *testing.T) {
	ctx := context.Background()
	_, _, paths := beside(t)
	stolen := paths[2]
	dynamic := []derivation.Input{{Path: paths[1], Wanted: derivation.Wanted{Dynamic: []derivation.Dynamic{{Output: "out", Wanted: derivation.Wanted{Outputs: []string{"out"}}}}}}}
	for what, c := range map[string]struct {
		output derivation.Output
		inputs []derivation.Input
		ok     bool
	}{
		"floating":           {derivation.Output{Name: "out", Kind: derivation.Floating, Method: storepath.NAR, Algorithm: nixhash.SHA256}, nil, true},
		"dynamic":            {derivation.Output{Name: "out", Kind: derivation.Deferred}, dynamic, true},
		"dynamic and stolen": {derivation.Output{Name: "out", Path: stolen}, dynamic, false},
	} {
		d := &derivation.Derivation{Name: "x", Outputs: []derivation.Output{c.output}, Inputs: c.inputs, Platform: "x", Builder: "x", Env: map[string]string{"out": ""}}
		s := newStore(t)
		o := addition.Object{Name: "x.drv", Method: storepath.Text, Algorithm: nixhash.SHA256}
		p, err := s.adder().Add(ctx, o, bytes.NewReader(d.Print(dir)))
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "it is not valid") {
			t.Errorf("%s: %v", what, err)
		}
		_, derr := s.adder().Derivation(ctx, d)
		if outputs, err := s.db.Outputs(p); err != nil || len(outputs) > 0 || !c.ok && derr == nil {
			t.Errorf("%s: outputs %v, %v, %v", what, outputs, err, derr)
		}
	}
}
