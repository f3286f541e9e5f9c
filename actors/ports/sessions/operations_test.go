package sessions_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"troupe/messages/workerproto"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// TestOperations performs every operation once as it should be, in the newest
// form and in old ones.
func TestOperations(t *testing.T) {
	w := newWorld(t)
	for _, minor := range []uint8{18, 21, 22, 23, 24, 25, 31, 32, 34, 37, newest} {
		t.Run(fmt.Sprint("1.", minor), func(t *testing.T) {
			c := w.connect(rootUser, minor)
			c.t = t
			if c.Version != workerproto.MakeVersion(1, minor) || minor >= 35 && c.Trust != workerproto.Trusted || minor >= 33 && c.NixVersion != "2.34.8" {
				t.Errorf("greeted as %+v", c.Peer)
			}
			s := salted{c, w, fmt.Sprint("v", minor)}
			tell[*workerproto.Nothing](c, &workerproto.SetOptions{MaxBuildJobs: 1, Overrides: map[string]string{"log-lines": "1"}}, nil)
			tell[*workerproto.One](c, &workerproto.SyncWithGC{}, nil)
			s.objects()
			s.copies()
			s.builds()
			s.upkeep()
		})
	}
}

// salted is a client that names what it makes by a salt.
type salted struct {
	*client
	world *world
	salt  string
}

// objects adds, and asks for what was added.
func (s salted) objects() {
	t, c := s.t, s.client
	flat := archive(t, "contents of "+s.salt) // below 1.25 everything comes as an archive
	stream := []byte("contents of " + s.salt)
	if !c.Version.AtLeast(25) {
		stream = flat
	}
	for _, m := range []storepath.Method{storepath.Flat, storepath.NAR} {
		body, hashed := stream, []byte("contents of "+s.salt)
		if m == storepath.NAR {
			body, hashed = flat, flat
		}
		want, err := c.Dir.MakeFixed("object-"+s.salt, m, nixhash.Sum(nixhash.SHA256, hashed), nil, false)
		if err != nil {
			t.Fatal(err)
		}
		added := tell[*workerproto.AddedPath](c, &workerproto.AddToStore{Name: "object-" + s.salt, Method: m, Algorithm: nixhash.SHA256}, body)
		if added.Info.Path != want {
			t.Errorf("added as %v, want %v", added.Info.Path, want)
		}
		s.valid(want, flat)
	}
	one, err := c.Dir.MakeFixed("object-"+s.salt, storepath.NAR, nixhash.Sum(nixhash.SHA256, flat), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Dir.MakeText("text-"+s.salt, nixhash.Sum(nixhash.SHA256, []byte("text")), []storepath.Path{one})
	if err != nil {
		t.Fatal(err)
	}
	if p := tell[*workerproto.Path](c, &workerproto.AddTextToStore{Name: "text-" + s.salt, Text: "text", References: []storepath.Path{one}}, nil); p.Path != text {
		t.Errorf("text is %v, want %v", p.Path, text)
	}
	if p := tell[*workerproto.Paths](c, &workerproto.QueryReferrers{Path: one}, nil); !slices.Equal(p.Paths, []storepath.Path{text}) {
		t.Errorf("referrers: %v", p.Paths)
	}
	if p := tell[*workerproto.OptionalPath](c, &workerproto.QueryPathFromHashPart{HashPart: one.HashPart()}, nil); p.Path != one {
		t.Errorf("by its hash part: %v", p.Path)
	}
	gone, err := storepath.ParseBase(hash2 + "-gone")
	if err != nil {
		t.Fatal(err)
	}
	if p := tell[*workerproto.Paths](c, &workerproto.QueryValidPaths{Paths: []storepath.Path{one, gone}}, nil); !slices.Equal(p.Paths, []storepath.Path{one}) {
		t.Errorf("valid of two: %v", p.Paths)
	}
	if p := tell[*workerproto.OptionalPathInfo](c, &workerproto.QueryPathInfo{Path: gone}, nil); p.Info != nil {
		t.Errorf("known of what is not there: %v", p.Info)
	}
	if all := tell[*workerproto.Paths](c, &workerproto.QueryAllValidPaths{}, nil).Paths; !slices.Contains(all, one) || !slices.Contains(all, text) {
		t.Errorf("all: %v", all)
	}
	c.refused(&workerproto.NarFromPath{Path: gone}, nil, "is not valid")
	c.refused(&workerproto.EnsurePath{Path: gone}, nil, gone.Name())
	tell[*workerproto.One](c, &workerproto.EnsurePath{Path: one}, nil)
}

// valid asks for a path and its archive.
func (s salted) valid(p storepath.Path, archive []byte) {
	s.t.Helper()
	if !tell[*workerproto.Bool](s.client, &workerproto.IsValidPath{Path: p}, nil).Value {
		s.t.Errorf("%v is not valid", p)
	}
	info := tell[*workerproto.OptionalPathInfo](s.client, &workerproto.QueryPathInfo{Path: p}, nil).Info
	if info == nil || info.NarSize != uint64(len(archive)) || info.NarHash != nixhash.Sum(nixhash.SHA256, archive) {
		s.t.Errorf("recorded is %+v", info)
	}
	tell[*workerproto.Nothing](s.client, &workerproto.NarFromPath{Path: p}, nil)
	got := make([]byte, len(archive))
	if _, err := io.ReadFull(s.r, got); err != nil || !bytes.Equal(got, archive) {
		s.t.Errorf("the archive of %v differs: %v", p, err)
	}
}

// copies adds objects with their records.
func (s salted) copies() {
	t, c := s.t, s.client
	data := archive(t, "copied by "+s.salt)
	one, two := record(t, hash1+"-one-"+s.salt, data), record(t, hash2+"-two-"+s.salt, data)
	two.References = []storepath.Path{one.Path}
	one.Signatures = []string{"key:c2ln"}
	tell[*workerproto.Nothing](c, &workerproto.AddToStoreNar{Info: one, DontCheckSigs: true}, data)
	s.valid(one.Path, data)
	if c.Version.AtLeast(32) {
		tell[*workerproto.Nothing](c, &workerproto.AddMultipleToStore{DontCheckSigs: true}, s.many(data, two))
		s.valid(two.Path, data)
	}
	tell[*workerproto.One](c, &workerproto.AddSignatures{Path: one.Path, Signatures: []string{"other:c2ln"}}, nil)
	info := tell[*workerproto.OptionalPathInfo](c, &workerproto.QueryPathInfo{Path: one.Path}, nil).Info
	if info == nil || !slices.Equal(info.Signatures, []string{"key:c2ln", "other:c2ln"}) {
		t.Errorf("signed is %+v", info)
	}
}

// many is the stream of AddMultipleToStore.
func (s salted) many(data []byte, infos ...workerproto.ValidPathInfo) []byte {
	s.t.Helper()
	var many bytes.Buffer
	w := workerproto.NewWriter(&many)
	w.Int(uint64(len(infos)))
	for _, i := range infos {
		if err := workerproto.WritePathInfo(w, i, s.Dialect); err != nil {
			s.t.Fatal(err)
		}
		w.Write(data)
	}
	if err := w.Flush(); err != nil {
		s.t.Fatal(err)
	}
	return many.Bytes()
}

// addDrv adds a derivation in the form of the version.
func (s salted) addDrv(r recipe) {
	s.t.Helper()
	if s.Version.AtLeast(25) {
		s.add(r)
		return
	}
	text := string(r.d.Print(s.Dir))
	if p := tell[*workerproto.Path](s.client, &workerproto.AddTextToStore{Name: r.d.Name + ".drv", Text: text, References: r.d.Refs()}, nil).Path; p != r.drv {
		s.t.Fatalf("added as %v, want %v", p, r.drv)
	}
}

func (s salted) builds() {
	t, c := s.t, s.client
	low := s.world.derivation("low-"+s.salt, "echo one; echo two; echo low > $out")
	top := s.world.derivation("top-"+s.salt, "cat $inputs > $out", low)
	s.addDrv(low)
	s.addDrv(top)
	want := []storepath.Path{low.drv, top.drv}
	slices.SortFunc(want, storepath.Path.Compare)
	if m := tell[*workerproto.Missing](c, &workerproto.QueryMissing{Paths: build(top).Paths}, nil); !slices.Equal(m.WillBuild, want) || len(m.Unknown) > 0 {
		t.Errorf("missing: %+v", m)
	}
	tell[*workerproto.One](c, build(top), nil)
	if got := lines(c.frames); c.Version.AtLeast(20) && !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("heard %q", got)
	}
	if text, err := os.ReadFile(c.Dir.Join(top.out)); err != nil || string(text) != "low\n" {
		t.Errorf("built %q, %v", text, err)
	}
	outputs := tell[*workerproto.OutputMap](c, &workerproto.QueryDerivationOutputMap{Path: top.drv}, nil).Outputs
	if !slices.Equal(outputs, []workerproto.Output{{Name: "out", Path: top.out}}) {
		t.Errorf("outputs: %v", outputs)
	}
	if p := tell[*workerproto.Paths](c, &workerproto.QueryDerivationOutputs{Path: top.drv}, nil); !slices.Equal(p.Paths, []storepath.Path{top.out}) {
		t.Errorf("outputs: %v", p.Paths)
	}
	if p := tell[*workerproto.Names](c, &workerproto.QueryDerivationOutputNames{Path: top.drv}, nil); !slices.Equal(p.Names, []string{"out"}) {
		t.Errorf("names of outputs: %v", p.Names)
	}
	if p := tell[*workerproto.OptionalPath](c, &workerproto.QueryDeriver{Path: top.out}, nil); p.Path != top.drv {
		t.Errorf("deriver: %v", p.Path)
	}
	if p := tell[*workerproto.Paths](c, &workerproto.QueryValidDerivers{Path: top.out}, nil); !slices.Equal(p.Paths, []storepath.Path{top.drv}) {
		t.Errorf("derivers: %v", p.Paths)
	}
	s.results(top)
	s.given()
	s.failures()
}

// results are those of single paths.
func (s salted) results(built recipe) {
	t, c := s.t, s.client
	if !c.Version.AtLeast(34) {
		return
	}
	other := s.world.derivation("other-"+s.salt, "echo other > $out")
	bad := s.world.derivation("bad-"+s.salt, "echo why; exit 3")
	c.add(other, bad)
	tell[*workerproto.Nothing](c, &workerproto.SetOptions{KeepGoing: true}, nil)
	q := workerproto.BuildPathsWithResults(*build(built, other, bad))
	results := tell[*workerproto.KeyedBuildResults](c, &q, nil).Results
	if len(results) != 3 || results[0].Result.Status != 2 || results[1].Result.Status != 0 || results[2].Result.Status != 3 {
		t.Fatalf("results: %+v", results)
	}
	for i, r := range []recipe{built, other} {
		made := results[i].Result.BuiltOutputs
		if len(made) != 1 || made[0].OutPath != r.out || made[0].ID.Output != "out" || results[i].Path.Path != r.drv {
			t.Errorf("made: %+v", results[i])
		}
	}
	if results[1].Result.TimesBuilt != 1 || results[1].Result.Start == 0 || len(results[2].Result.BuiltOutputs) > 0 || results[2].Result.Error == "" {
		t.Errorf("results: %+v", results)
	}
}

// given builds a derivation that is not in the store.
func (s salted) given() {
	t, c := s.t, s.client
	plain, fixed := s.world.derivation("given-"+s.salt, "echo given > $out"), s.world.fixed("fixed-"+s.salt, "x", "printf x > $out")
	for _, r := range []recipe{plain, fixed} {
		result := tell[*workerproto.BuildResult](c, &workerproto.BuildDerivation{Path: r.drv, Derivation: *r.d}, nil)
		if result.Status != 0 || result.Error != "" {
			t.Errorf("%s: %+v", r.d.Name, result)
		}
		if !tell[*workerproto.Bool](c, &workerproto.IsValidPath{Path: r.out}, nil).Value {
			t.Errorf("%s is not valid", r.d.Name)
		}
	}
	lies := s.world.fixed("lies-"+s.salt, "x", "printf y > $out")
	result := tell[*workerproto.BuildResult](c, &workerproto.BuildDerivation{Path: lies.drv, Derivation: *lies.d}, nil)
	if result.Status != 5 { // OutputRejected
		t.Errorf("another hash: %+v", result)
	}
}

func (s salted) failures() {
	bad := s.world.derivation("fails-"+s.salt, "echo the reason; exit 7")
	s.addDrv(bad)
	s.refused(build(bad), nil, "builder failed with exit code 7")
	s.refused(build(bad), nil, "the reason")
}

// upkeep roots, looks after and collects.
func (s salted) upkeep() {
	t, c := s.t, s.client
	dead := s.world.derivation("dead-"+s.salt, "echo dead > $out")
	kept := s.world.derivation("kept-"+s.salt, "echo kept > $out")
	s.addDrv(dead)
	s.addDrv(kept)
	link := filepath.Join(s.world.dir, "result-"+s.salt)
	if err := os.Symlink(c.Dir.Join(kept.drv), link); err != nil {
		t.Fatal(err)
	}
	tell[*workerproto.One](c, &workerproto.AddIndirectRoot{Name: link}, nil)
	tell[*workerproto.One](c, &workerproto.AddTempRoot{Path: dead.drv}, nil)
	roots := tell[*workerproto.Roots](c, &workerproto.FindRoots{}, nil).Roots
	if !slices.ContainsFunc(roots, func(r workerproto.Root) bool { return r.Path == kept.drv && r.Link == link }) {
		t.Errorf("roots: %v", roots)
	}
	if tell[*workerproto.Bool](c, &workerproto.VerifyStore{CheckContents: true}, nil).Value {
		t.Errorf("the store has errors: %v", c.frames)
	}
	tell[*workerproto.One](c, &workerproto.OptimiseStore{}, nil)
	c.refused(&workerproto.CollectGarbage{IgnoreLiveness: true}, nil, "you are not allowed to ignore liveness")
	c.refused(&workerproto.CollectGarbage{Action: workerproto.GCDeleteSpecific, Paths: []storepath.Path{dead.drv}, MaxFreed: 1<<64 - 1}, nil, "dead-"+s.salt)
	live := tell[*workerproto.GCResult](c, &workerproto.CollectGarbage{Action: workerproto.GCReturnLive, MaxFreed: 1<<64 - 1}, nil).Paths
	if !slices.Contains(live, c.Dir.Join(dead.drv)) || !slices.Contains(live, c.Dir.Join(kept.drv)) {
		t.Errorf("live: %v", live)
	}
	if c.Version.AtLeast(36) {
		perm := filepath.Join(s.world.dir, "perm-"+s.salt)
		if name := tell[*workerproto.FileName](c, &workerproto.AddPermRoot{Path: kept.drv, Name: perm}, nil).Name; name != perm {
			t.Errorf("made %s", name)
		}
		if to, err := os.Readlink(perm); err != nil || to != c.Dir.Join(kept.drv) {
			t.Errorf("%s, %v", to, err)
		}
	}
	if c.Version.AtLeast(32) {
		tell[*workerproto.One](c, &workerproto.AddBuildLog{Path: dead.drv}, []byte("a log"))
	}
	if p := tell[*workerproto.Paths](c, &workerproto.QuerySubstitutablePaths{Paths: []storepath.Path{dead.out}}, nil); len(p.Paths) > 0 {
		t.Errorf("substitutable: %v", p.Paths)
	}
}
