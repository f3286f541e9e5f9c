package workerproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"troupe/storage/derivation"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// wire writes numbers and strings as the protocol does, without this package.
func wire(items ...any) []byte {
	var b []byte
	for _, item := range items {
		switch v := item.(type) {
		case int:
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, v)
		case string:
			b = binary.LittleEndian.AppendUint64(b, uint64(len(v)))
			b = append(b, v...)
			for len(b)%8 != 0 {
				b = append(b, 0)
			}
		case []byte:
			b = append(b, v...)
		}
	}
	return b
}

const (
	hash1 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hash2 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	dir   = storepath.Dir("/nix/store")
	a     = "/nix/store/" + hash1 + "-a"
	bDrv  = "/nix/store/" + hash2 + "-b.drv"
	hex0  = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	nix32 = "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s" // hex0 by nix-hash
)

func path(t testing.TB, s string) storepath.Path {
	t.Helper()
	p, err := dir.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func in(minor uint8, features ...string) Dialect {
	return Dialect{Version: MakeVersion(1, minor), Features: features, Dir: dir}
}

var compareUnexported = cmp.Exporter(func(reflect.Type) bool { return true })

// TestRequests: forms that no captured session has, and what they mean.
func TestRequests(t *testing.T) {
	pa, pb := path(t, a), path(t, bDrv)
	sum := nixhash.Sum(nixhash.SHA256, []byte("abc"))
	for _, c := range []struct {
		name string
		d    Dialect
		wire []byte
		want Request
	}{
		{"hash part", in(38), wire(29, hash1), &QueryPathFromHashPart{HashPart: hash1}},
		{"perm root", in(38), wire(47, a, "/r"), &AddPermRoot{Path: pa, Name: "/r"}},
		{"build log", in(38), wire(45, hash2+"-b.drv"), &AddBuildLog{pb}},
		{"deriver", in(38), wire(18, a), &QueryDeriver{Path: pa}},
		{"nar", in(38), wire(38, a), &NarFromPath{Path: pa}},
		{"valid paths before 1.27", in(26), wire(31, 1, a), &QueryValidPaths{Paths: []storepath.Path{pa}}},
		{"valid paths", in(27), wire(31, 1, a, 1), &QueryValidPaths{Paths: []storepath.Path{pa}, Substitute: true}},
		{"infos before 1.22", in(21), wire(30, 1, a), &QuerySubstitutablePathInfos{Paths: []AddressedPath{{Path: pa}}}},
		{"infos", in(22), wire(30, 1, a, "text:sha256:"+nix32), &QuerySubstitutablePathInfos{Paths: []AddressedPath{{pa, "text:sha256:" + nix32}}}},
		{"add", in(38), wire(7, "a", "fixed:git:sha1", 1, a, 1), &AddToStore{Name: "a", Method: storepath.Git, Algorithm: nixhash.SHA1, References: []storepath.Path{pa}, Repair: true}},
		{"add of old", in(24), wire(7, "a", 1, 0, "md5"), &AddToStore{Name: "a", Method: storepath.Flat, Algorithm: nixhash.MD5}},
		{"add of old, recursive", in(24), wire(7, "a", 1, 1, "sha512"), &AddToStore{Name: "a", Method: storepath.NAR, Algorithm: nixhash.SHA512}},
		{"add of old, not fixed", in(24), wire(7, "a", 0, 1, "sha256"), &AddToStore{Name: "a", Method: storepath.NAR, Algorithm: nixhash.SHA256}},
		{"all outputs before 1.30", in(29), wire(9, 3, bDrv, bDrv+"!dev,out", a, 2), &BuildPaths{Mode: BuildCheck, Paths: []DerivedPath{
			{Path: pb, Outputs: []string{"*"}}, {Path: pb, Outputs: []string{"dev", "out"}}, {Path: pa}}}},
		{"outputs", in(30), wire(9, 4, bDrv, bDrv+"!*", bDrv+"!out!dev", a, 1), &BuildPaths{Mode: BuildRepair, Paths: []DerivedPath{
			{Path: pb}, {Path: pb, Outputs: []string{"*"}}, {Path: pb, Through: []string{"out"}, Outputs: []string{"dev"}}, {Path: pa}}}},
		{"collection", in(38), wire(20, 3, 1, a, 0, uint64(1<<64-1), 0, 0, 0), &CollectGarbage{Action: GCDeleteSpecific, Paths: []storepath.Path{pa}, MaxFreed: 1<<64 - 1}},
		{"collection with referrers", in(38, DeleteReferrers), wire(20, 3, 0, 1, a, 1, 0, 7, 0, 0, 0),
			&CollectGarbage{Action: GCDeleteSpecific, Paths: []storepath.Path{pa}, Referrers: true, MaxFreed: 7}},
		{"collection of everything", in(38, DeleteReferrers), wire(20, 2, 1, 1, 7, 0, 0, 0),
			&CollectGarbage{Action: GCDeleteDead, WholeStore: true, IgnoreLiveness: true, MaxFreed: 7}},
		{"realisation before 1.31", in(30), wire(42, "sha256:"+hex0+"!out", hash1+"-a"), &RegisterDrvOutput{Realisation: Realisation{ID: DrvOutput{Hash: sum, Output: "out"}, OutPath: pa}}},
		{"realisation", in(31), wire(42, `{"dependentRealisations":{"sha256:`+hex0+`!dev":"`+hash1+`-a"},"id":"sha256:`+hex0+`!out","outPath":"`+hash1+`-a","signatures":["k:<&>"]}`),
			&RegisterDrvOutput{Realisation: Realisation{ID: DrvOutput{Hash: sum, Output: "out"}, OutPath: pa, Signatures: []string{"k:<&>"},
				Dependent: map[string]storepath.Path{"sha256:" + hex0 + "!dev": pa}}}},
		{"realisation with path", in(38, RealisationWithPath), wire(42, bDrv, "out", a, 1, "k:s"),
			&RegisterDrvOutput{Realisation: Realisation{ID: DrvOutput{Drv: pb, Output: "out"}, OutPath: pa, Signatures: []string{"k:s"}}}},
		{"query of it", in(38, RealisationWithPath), wire(43, bDrv, "out"), &QueryRealisation{ID: DrvOutput{Drv: pb, Output: "out"}}},
		{"build of a derivation", in(38), wire(36, bDrv,
			5, "a", a, "", "", "b", a, "r:sha256", hex0, "c", "", "text:sha256", "", "d", "", "", "", "e", "", "r:sha256", "impure",
			1, a, "x86_64-linux", "/bin/sh", 2, "-c", "", 2, "PATH", "/bin", "__json", "{}", 0),
			&BuildDerivation{Path: pb, Derivation: derivation.Derivation{Name: "b",
				Outputs: []derivation.Output{{Name: "a", Path: pa},
					{Name: "b", Kind: derivation.Fixed, Path: pa, Method: storepath.NAR, Algorithm: nixhash.SHA256, Hash: sum},
					{Name: "c", Kind: derivation.Floating, Method: storepath.Text, Algorithm: nixhash.SHA256},
					{Name: "d", Kind: derivation.Deferred},
					{Name: "e", Kind: derivation.Impure, Method: storepath.NAR, Algorithm: nixhash.SHA256}},
				Sources: []storepath.Path{pa}, Platform: "x86_64-linux", Builder: "/bin/sh", Args: []string{"-c", ""},
				Env: map[string]string{"PATH": "/bin", "__json": "{}"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got Request
			err := wholly(c.wire, func(r *Reader) error {
				op, err := r.ReadOp()
				if err == nil {
					got, err = DecodeRequest(r, op, c.d)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, compareUnexported); diff != "" {
				t.Error(diff)
			}
			var b bytes.Buffer
			w := NewWriter(&b)
			if err := errors.Join(WriteRequest(w, c.want, c.d), w.Flush()); err != nil {
				t.Fatal(err)
			}
			if err := same(b.Bytes(), c.wire); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestReplies is [TestRequests] for replies.
func TestReplies(t *testing.T) {
	pa, pb := path(t, a), path(t, bDrv)
	sum := nixhash.Sum(nixhash.SHA256, []byte("abc"))
	second, user := time.Second, 1500*time.Microsecond
	info := ValidPathInfo{Path: pa, NarHash: sum, NarSize: 9, References: []storepath.Path{pa, pb}, Deriver: pb,
		RegistrationTime: 7, Ultimate: true, Signatures: []string{"a:1", "b:2"}, CA: "fixed:r:sha256:" + nix32}
	infoWire := wire(bDrv, hex0, 2, a, bDrv, 7, 9, 1, 2, "a:1", "b:2", "fixed:r:sha256:"+nix32)
	unkeyed := info
	unkeyed.Path = storepath.Path{}
	realisation := `{"dependentRealisations":{},"id":"sha256:` + hex0 + `!out","outPath":"` + hash1 + `-a","signatures":[]}`
	for _, c := range []struct {
		name string
		d    Dialect
		wire []byte
		to   Request
		want Reply
	}{
		{"no", in(38), wire(0), &IsValidPath{}, &Bool{}},
		{"no path", in(38), wire(""), &QueryDeriver{}, &OptionalPath{}},
		{"info", in(38), wire(1, infoWire), &QueryPathInfo{}, &OptionalPathInfo{&unkeyed}},
		{"no info", in(38), wire(0), &QueryPathInfo{}, &OptionalPathInfo{}},
		{"added", in(25), wire(a, infoWire), &AddToStore{}, &AddedPath{info}},
		{"added before 1.25", in(24), wire(a), &AddToStore{}, &AddedPath{ValidPathInfo{Path: pa}}},
		{"root made", in(36), wire("/r"), &AddPermRoot{}, &FileName{"/r"}},
		{"outputs", in(38), wire(2, "dev", "", "out", a), &QueryDerivationOutputMap{}, &OutputMap{[]Output{{Name: "dev"}, {"out", pa}}}},
		{"substitutable", in(38), wire(1, bDrv, 1, a, 5, 6), &QuerySubstitutablePathInfo{},
			&OptionalSubstitutable{&Substitutable{Deriver: pb, References: []storepath.Path{pa}, DownloadSize: 5, NarSize: 6}}},
		{"substitutables", in(38), wire(1, a, "", 0, 5, 6), &QuerySubstitutablePathInfos{}, &Substitutables{[]Substitutable{{Path: pa, DownloadSize: 5, NarSize: 6}}}},
		{"result before 1.28", in(27), wire(3, "no"), &BuildDerivation{}, &BuildResult{Status: 3, Error: "no"}},
		{"result in 1.28", in(28), wire(0, "", 1, "sha256:"+hex0+"!out", realisation), &BuildDerivation{},
			&BuildResult{BuiltOutputs: []Realisation{{ID: DrvOutput{Hash: sum, Output: "out"}, OutPath: pa}}}},
		{"result in 1.29", in(29), wire(12, "x", 2, 1, 100, 200, 0), &BuildDerivation{},
			&BuildResult{Status: 12, Error: "x", TimesBuilt: 2, NonDeterministic: true, Start: 100, Stop: 200}},
		{"results", in(37), wire(1, bDrv+"!out", 0, "", 1, 0, 100, 200, 1, 1500, 1, 1000000, 1, "sha256:"+hex0+"!out", realisation), &BuildPathsWithResults{},
			&KeyedBuildResults{[]KeyedBuildResult{{DerivedPath{Path: pb, Outputs: []string{"out"}},
				BuildResult{TimesBuilt: 1, Start: 100, Stop: 200, UserCPU: &user, SystemCPU: &second,
					BuiltOutputs: []Realisation{{ID: DrvOutput{Hash: sum, Output: "out"}, OutPath: pa}}}}}}},
		{"result with paths", in(38, RealisationWithPath), wire(0, "", 1, 0, 0, 0, 0, 0, 1, "out", a, 0), &BuildDerivation{},
			&BuildResult{TimesBuilt: 1, BuiltOutputs: []Realisation{{ID: DrvOutput{Output: "out"}, OutPath: pa}}}},
		{"realisation before 1.31", in(30), wire(1, a), &QueryRealisation{}, &OptionalRealisation{&Realisation{OutPath: pa}}},
		{"no realisation", in(31), wire(0), &QueryRealisation{}, &OptionalRealisation{}},
		{"realisation", in(31), wire(1, realisation), &QueryRealisation{}, &OptionalRealisation{&Realisation{ID: DrvOutput{Hash: sum, Output: "out"}, OutPath: pa}}},
		{"realisation with path", in(38, RealisationWithPath), wire(1, a, 1, "k:s"), &QueryRealisation{}, &OptionalRealisation{&Realisation{OutPath: pa, Signatures: []string{"k:s"}}}},
		{"garbage", in(38), wire(2, "/nix/store/.x", a, 77, 0), &CollectGarbage{}, &GCResult{[]string{"/nix/store/.x", a}, 77}},
		{"roots", in(38), wire(2, "{censored}", a, "/r", a), &FindRoots{}, &Roots{[]Root{{"{censored}", pa}, {"/r", pa}}}},
		{"missing", in(38), wire(1, bDrv, 1, a, 0, 5, 6), &QueryMissing{}, &Missing{WillBuild: []storepath.Path{pb}, WillSubstitute: []storepath.Path{pa}, DownloadSize: 5, NarSize: 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got Reply
			if err := wholly(c.wire, func(r *Reader) (err error) { got, err = ReadReply(r, c.to, c.d); return err }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, compareUnexported); diff != "" {
				t.Error(diff)
			}
			var b bytes.Buffer
			w := NewWriter(&b)
			if err := errors.Join(WriteReply(w, c.want, c.d), w.Flush()); err != nil {
				t.Fatal(err)
			}
			if err := same(b.Bytes(), c.wire); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFramesOfOldVersions: before 1.20 there are no activities, before 1.26 no
// levels of errors.
func TestFramesOfOldVersions(t *testing.T) {
	start := &StartActivity{ID: 1, Level: LevelInfo, Type: ActBuild, Text: "building", Fields: []Field{Text("x"), Number(1)}, Parent: 2}
	refusal := &Error{Level: LevelError, Message: "no", Traces: []string{"while"}, Status: 1}
	for _, c := range []struct {
		minor uint8
		frame Frame
		want  []byte
	}{
		{18, start, wire(0x6f6c6d67, "building...\n")},
		{19, start, wire(0x6f6c6d67, "building...\n")},
		{18, &StartActivity{}, nil},
		{18, &Result{}, nil},
		{18, &StopActivity{}, nil},
		{20, start, wire(0x53545254, 1, 3, 105, "building", 2, 1, "x", 0, 1, 2)},
		{20, &Result{1, ResSetPhase, []Field{Text("p")}}, wire(0x52534c54, 1, 104, 1, 1, "p")},
		{25, refusal, wire(0x63787470, "no", 1)},
		{26, refusal, wire(0x63787470, "Error", 0, "Error", "no", 0, 1, 0, "while")},
	} {
		var b bytes.Buffer
		w := NewWriter(&b)
		if err := errors.Join(WriteFrame(w, c.frame, in(c.minor)), w.Flush()); err != nil {
			t.Fatal(err)
		}
		if err := same(b.Bytes(), c.want); err != nil {
			t.Errorf("%v in 1.%d: %v", c.frame, c.minor, err)
		}
	}
}
