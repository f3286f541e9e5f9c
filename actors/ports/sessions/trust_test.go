package sessions_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"troupe/messages/workerproto"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// TestTrust holds every operation, in every form that takes trust, against what
// the two kinds of client may do. No operation is left out.
func TestTrust(t *testing.T) {
	w := newWorld(t)
	root, ann := w.connect(rootUser, newest), w.connect(anybody, newest)
	if root.Trust != workerproto.Trusted || ann.Trust != workerproto.NotTrusted {
		t.Fatalf("%+v, %+v", root.Peer, ann.Peer)
	}
	plain, built := w.derivation("plain", "echo > $out"), w.derivation("built", "echo built > $out")
	fixed := w.fixed("fixed", "x", "printf x > $out")
	root.add(plain, built, fixed)
	tell[*workerproto.One](root, build(built), nil)
	data := archive(t, "data")
	link := filepath.Join(w.dir, "link")
	if err := os.Symlink(root.Dir.Join(built.out), link); err != nil {
		t.Fatal(err)
	}
	results := func(mode workerproto.BuildMode) *workerproto.BuildPathsWithResults {
		return &workerproto.BuildPathsWithResults{Paths: build(built).Paths, Mode: mode}
	}
	addressed := record(t, hash1+"-x", data)
	sum := nixhash.Sum(nixhash.SHA256, data)
	var err error
	if addressed.Path, err = root.Dir.MakeFixed("addressed", storepath.NAR, sum, nil, false); err != nil {
		t.Fatal(err)
	}
	addressed.CA = "fixed:r:" + sum.String()
	const lacks, anyone = "lacks a signature by a trusted key", ""
	s := salted{root, w, ""}
	seen := map[workerproto.Op]bool{}
	for _, c := range []struct {
		q      workerproto.Request
		stream []byte
		ann    string // what she is told
	}{
		{&workerproto.IsValidPath{Path: built.out}, nil, anyone},
		{&workerproto.QueryReferrers{Path: built.out}, nil, anyone},
		{&workerproto.AddToStore{Name: "a", Method: storepath.Flat, Algorithm: nixhash.SHA256}, []byte("a"), anyone},
		{&workerproto.AddTextToStore{Name: "t", Text: "t"}, nil, anyone},
		{build(plain), nil, anyone},
		{&workerproto.BuildPaths{Paths: build(built).Paths, Mode: workerproto.BuildCheck}, nil, anyone},
		{&workerproto.BuildPaths{Paths: build(built).Paths, Mode: workerproto.BuildRepair}, nil, "repairing is not allowed because you are not in 'trusted-users'"},
		{results(workerproto.BuildNormal), nil, anyone},
		{results(workerproto.BuildRepair), nil, "repairing is not allowed because you are not in 'trusted-users'"},
		{&workerproto.BuildDerivation{Path: fixed.drv, Derivation: *fixed.d}, nil, anyone},
		{&workerproto.BuildDerivation{Path: plain.drv, Derivation: *plain.d}, nil, "you are not privileged to build input-addressed derivations"},
		{&workerproto.BuildDerivation{Path: fixed.drv, Derivation: *fixed.d, Mode: workerproto.BuildRepair}, nil, "repairing is not allowed because you are not in 'trusted-users'"},
		{&workerproto.EnsurePath{Path: built.out}, nil, anyone},
		{&workerproto.AddTempRoot{Path: built.out}, nil, anyone},
		{&workerproto.AddIndirectRoot{Name: link}, nil, anyone},
		{&workerproto.SyncWithGC{}, nil, anyone},
		{&workerproto.FindRoots{}, nil, anyone},
		{&workerproto.QueryDeriver{Path: built.out}, nil, anyone},
		{&workerproto.SetOptions{}, nil, anyone},
		{&workerproto.CollectGarbage{Action: workerproto.GCReturnDead, MaxFreed: 1}, nil, anyone},
		{&workerproto.QuerySubstitutablePathInfo{Path: built.out}, nil, anyone},
		{&workerproto.QuerySubstitutablePathInfos{}, nil, anyone},
		{&workerproto.QueryDerivationOutputs{Path: built.drv}, nil, anyone},
		{&workerproto.QueryDerivationOutputNames{Path: built.drv}, nil, anyone},
		{&workerproto.QueryDerivationOutputMap{Path: built.drv}, nil, anyone},
		{&workerproto.QueryAllValidPaths{}, nil, anyone},
		{&workerproto.QueryPathInfo{Path: built.out}, nil, anyone},
		{&workerproto.QueryPathFromHashPart{HashPart: built.out.HashPart()}, nil, anyone},
		{&workerproto.QueryValidPaths{}, nil, anyone},
		{&workerproto.QuerySubstitutablePaths{}, nil, anyone},
		{&workerproto.QueryValidDerivers{Path: built.out}, nil, anyone},
		{&workerproto.OptimiseStore{}, nil, anyone},
		{&workerproto.VerifyStore{}, nil, anyone},
		{&workerproto.VerifyStore{Repair: true}, nil, "you are not privileged to repair paths"},
		{&workerproto.AddSignatures{Path: built.out, Signatures: []string{"key:c2ln"}}, nil, anyone},
		{&workerproto.QueryMissing{Paths: build(built).Paths}, nil, anyone},
		{&workerproto.AddBuildLog{Path: plain.drv}, []byte("log"), "you are not privileged to add logs"},
		{&workerproto.AddPermRoot{Path: built.out, Name: filepath.Join(w.dir, "perm")}, nil, "you are not privileged to create perm roots"},
		{&workerproto.AddToStoreNar{Info: addressed}, data, anyone},
		{&workerproto.AddToStoreNar{Info: record(t, hash1+"-n", data), DontCheckSigs: true}, data, lacks},
		{&workerproto.AddMultipleToStore{DontCheckSigs: true}, s.many(data, record(t, hash1+"-m", data)), lacks},
	} {
		seen[c.q.Op()] = true
		if c.ann == anyone {
			if _, err := ann.ask(c.q, c.stream); err != nil {
				t.Errorf("ann asks %v: %v", c.q.Op(), err)
			}
		} else {
			ann.refused(c.q, c.stream, c.ann)
		}
		if _, err := root.ask(c.q, c.stream); err != nil {
			t.Errorf("root asks %v: %v", c.q.Op(), err)
		}
	}
	for op := workerproto.Op(0); op < 64; op++ {
		unheard := op == workerproto.OpNarFromPath || op == workerproto.OpRegisterDrvOutput || op == workerproto.OpQueryRealisation // elsewhere
		if known := !strings.HasPrefix(op.String(), "operation "); known && !seen[op] && !unheard {
			t.Errorf("%v is not in the table", op)
		}
	}
}

// TestWhatTheUntrustedAdd is not vouched for by us, and no archive is repaired
// for them.
func TestWhatTheUntrustedAdd(t *testing.T) {
	w := newWorld(t)
	ann := w.connect(anybody, newest)
	data := archive(t, "data")
	sum := nixhash.Sum(nixhash.SHA256, data)
	info := record(t, hash1+"-x", data)
	var err error
	if info.Path, err = w.layout.Dir.MakeFixed("addressed", storepath.NAR, sum, nil, false); err != nil {
		t.Fatal(err)
	}
	info.CA, info.Ultimate = "fixed:r:"+sum.String(), true
	tell[*workerproto.Nothing](ann, &workerproto.AddToStoreNar{Info: info}, data)
	if got := tell[*workerproto.OptionalPathInfo](ann, &workerproto.QueryPathInfo{Path: info.Path}, nil).Info; got == nil || got.Ultimate {
		t.Errorf("%+v", got)
	}
	file := w.layout.RealPath(info.Path)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	tell[*workerproto.Nothing](ann, &workerproto.AddToStoreNar{Info: info, Repair: true}, data)
	if _, err := os.Lstat(file); err == nil {
		t.Error("it was repaired for her")
	}
	root := w.connect(rootUser, newest)
	tell[*workerproto.Nothing](root, &workerproto.AddToStoreNar{Info: info, Repair: true}, data)
	if _, err := os.Lstat(file); err != nil {
		t.Errorf("it was not repaired for root: %v", err)
	}
}

// TestWhoMayConnect: whoever may not is hung up on without a word.
func TestWhoMayConnect(t *testing.T) {
	w := newWorld(t)
	s := w.settings()
	s.Access.Allowed = []string{"bob"}
	w.tree.Sessions.Configure(s)
	if rest := w.raw(anybody).closes(); len(rest) > 0 {
		t.Errorf("ann is told %q", rest)
	}
	tell[*workerproto.One](w.connect(rootUser, newest), &workerproto.SyncWithGC{}, nil)
	s.Access.Allowed = []string{"ann"}
	w.tree.Sessions.Configure(s)
	tell[*workerproto.One](w.connect(anybody, newest), &workerproto.SyncWithGC{}, nil)
}

// TestPrivateRoots: the untrusted are not told which programs of others use a
// path.
func TestPrivateRoots(t *testing.T) {
	w := newWorld(t)
	root, ann := w.connect(rootUser, newest), w.connect(anybody, newest)
	p := tell[*workerproto.Path](root, &workerproto.AddTextToStore{Name: "used", Text: "used"}, nil).Path
	for _, c := range []struct {
		*client
		censored bool
	}{{root, false}, {ann, true}} {
		for _, r := range tell[*workerproto.Roots](c.client, &workerproto.FindRoots{}, nil).Roots {
			if r.Path == p && (r.Link == "{censored}") != c.censored {
				t.Errorf("%s for %v", r.Link, c.Trust)
			}
		}
	}
}
