package workerproto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"troupe/storage/derivation"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// daemon is a real nix-daemon with a store of its own, and we its client.
type daemon struct {
	t *testing.T
	Peer
	r     *Reader
	w     *Writer
	pulls []byte // what is given when the daemon asks
}

func startDaemon(t *testing.T, minor uint8) *daemon {
	t.Helper()
	program, err := exec.LookPath("nix-daemon")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nix-daemon is missing")
		}
		t.Skip("nix-daemon is missing")
	}
	at := t.TempDir()
	conf := "build-users-group =\nsandbox = false\nsubstituters =\nexperimental-features = nix-command ca-derivations\n"
	if err := os.WriteFile(filepath.Join(at, "nix.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	store := storepath.Dir(at + "/store")
	cmd := exec.Command(program, "--stdio")
	cmd.Env = append(os.Environ(), "NIX_REMOTE=", "HOME="+at, "NIX_STORE_DIR="+string(store), "NIX_STATE_DIR="+at+"/var",
		"NIX_LOG_DIR="+at+"/log", "NIX_CONF_DIR="+at, "TMPDIR="+at)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait() // it ends when its input does, and its status says nothing
		makeWritable(at)
	})
	d := &daemon{t: t, r: NewReader(out), w: NewWriter(in)}
	if d.Peer, err = (Client{Dir: store, Version: MakeVersion(1, minor)}).Connect(d.r, d.w); err != nil {
		t.Fatal(err)
	}
	if err := d.frames(); err != nil {
		t.Fatal(err)
	}
	return d
}

// makeWritable lets the directories of a store be removed by an ordinary user.
func makeWritable(root string) {
	filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return err
	})
}

// frames reads up to the end of an operation, and gives what is asked for.
func (d *daemon) frames() error {
	for {
		m, err := ReadFrame(d.r, d.Dialect)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *Last:
			return nil
		case *Error:
			return m
		case *Read:
			n := min(m.Max, uint64(len(d.pulls)))
			d.w.String(string(d.pulls[:n]))
			d.pulls = d.pulls[n:]
			if err := d.w.Flush(); err != nil {
				return err
			}
		}
	}
}

// ask sends a request and the stream after it, in the form that the request
// says.
func (d *daemon) ask(q Request, stream []byte) (Reply, error) {
	if err := WriteRequest(d.w, q, d.Dialect); err != nil {
		return nil, err
	}
	switch q.Stream(d.Dialect) {
	case StreamFramed:
		s := NewFramedWriter(d.w)
		for piece := range slices.Chunk(stream, 100) {
			s.Write(piece) // the error comes at the end
		}
		if err := s.Close(); err != nil {
			return nil, err
		}
	case StreamNAR:
		d.w.Write(stream)
	case StreamPull:
		d.pulls = stream
	}
	if err := d.w.Flush(); err != nil {
		return nil, err
	}
	if err := d.frames(); err != nil {
		return nil, err
	}
	return ReadReply(d.r, q, d.Dialect)
}

// tell asks and wants no error.
func tell[P Reply](d *daemon, q Request, stream []byte) P {
	d.t.Helper()
	p, err := d.ask(q, stream)
	if err != nil {
		d.t.Fatalf("%v: %v", q.Op(), err)
	}
	return p.(P)
}

// archive is the archive of a file with the given contents.
func archive(t *testing.T, contents string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte(contents), 0o644); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := nar.Dump(&b, file); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRealDaemon: the real daemon understands what we write in every version,
// and says of it what must be so. These operations no command sends.
func TestRealDaemon(t *testing.T) {
	for _, minor := range []uint8{18, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34} {
		t.Run(fmt.Sprint(minor), func(t *testing.T) {
			d := startDaemon(t, minor)
			if d.Version != MakeVersion(1, minor) || (minor >= 33) != (d.NixVersion != "") {
				t.Fatalf("the daemon is %v", d.Peer)
			}
			tell[*Nothing](d, &SetOptions{BuildCores: 1, MaxBuildJobs: 1, UseSubstitutes: true, Overrides: map[string]string{"keep-going": "true"}}, nil)
			tell[*One](d, &SyncWithGC{}, nil)
			d.objects()
			d.derivations()
			d.refusal()
		})
	}
}

func (d *daemon) objects() {
	t, contents := d.t, strings.Repeat("contents", 10000)
	h := nixhash.Sum(nixhash.SHA256, archive(t, contents))
	want, err := d.Dir.MakeFixed("tree", storepath.NAR, h, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	added := tell[*AddedPath](d, &AddToStore{Name: "tree", Method: storepath.NAR, Algorithm: nixhash.SHA256}, archive(t, contents))
	if added.Info.Path != want {
		t.Errorf("added as %v, want %v", added.Info.Path, want)
	}
	if p := tell[*OptionalPath](d, &QueryPathFromHashPart{HashPart: want.HashPart()}, nil); p.Path != want {
		t.Errorf("by its hash part it is %v", p.Path)
	}
	info := tell[*OptionalPathInfo](d, &QueryPathInfo{Path: want}, nil).Info
	if info == nil || info.NarHash != h || info.CA != "fixed:r:"+h.String() {
		t.Fatalf("recorded is %+v", info)
	}
	tell[*Nothing](d, &NarFromPath{Path: want}, nil)
	got := make([]byte, len(archive(t, contents)))
	if _, err := io.ReadFull(d.r, got); err != nil || !bytes.Equal(got, archive(t, contents)) {
		t.Errorf("its archive differs: %v", err)
	}
	text, err := d.Dir.MakeText("text", nixhash.Sum(nixhash.SHA256, []byte("text")), []storepath.Path{want})
	if err != nil {
		t.Fatal(err)
	}
	if p := tell[*Path](d, &AddTextToStore{Name: "text", Text: "text", References: []storepath.Path{want}}, nil); p.Path != text {
		t.Errorf("text is %v, want %v", p.Path, text)
	}
	if p := tell[*Paths](d, &QueryReferrers{Path: want}, nil); !slices.Equal(p.Paths, []storepath.Path{text}) {
		t.Errorf("referrers: %v", p.Paths)
	}
	if s := tell[*OptionalSubstitutable](d, &QuerySubstitutablePathInfo{Path: want}, nil); s.Info != nil {
		t.Errorf("it can be substituted: %v", s.Info)
	}
	d.copies(contents)
}

// copies adds objects with their records.
func (d *daemon) copies(contents string) {
	t, data := d.t, archive(d.t, contents+"!")
	record := func(base string) ValidPathInfo {
		p, err := storepath.ParseBase(base)
		if err != nil {
			t.Fatal(err)
		}
		return ValidPathInfo{Path: p, NarHash: nixhash.Sum(nixhash.SHA256, data), NarSize: uint64(len(data)), RegistrationTime: 7,
			Signatures: []string{"key:c2ln"}}
	}
	one, two := record(hash1+"-one"), record(hash2+"-two")
	two.References = []storepath.Path{one.Path}
	tell[*Nothing](d, &AddToStoreNar{Info: one, DontCheckSigs: true}, data)
	var many bytes.Buffer
	w := NewWriter(&many)
	w.Int(1)
	err := WritePathInfo(w, two, d.Dialect)
	w.Write(data)
	if err := errors.Join(err, w.Flush()); err != nil {
		t.Fatal(err)
	}
	tell[*Nothing](d, &AddMultipleToStore{DontCheckSigs: true}, many.Bytes())
	tell[*One](d, &AddSignatures{Path: two.Path, Signatures: []string{"other:c2ln"}}, nil)
	info := tell[*OptionalPathInfo](d, &QueryPathInfo{Path: two.Path}, nil).Info
	if info == nil || !slices.Equal(info.References, two.References) || !slices.Equal(info.Signatures, []string{"key:c2ln", "other:c2ln"}) {
		t.Errorf("recorded is %+v", info)
	}
}

// platforms are Nix's names of what this may run on.
var platforms = map[string]string{"amd64": "x86_64-linux", "arm64": "aarch64-linux"}

func (d *daemon) derivations() {
	t := d.t
	sum := nixhash.Sum(nixhash.SHA256, []byte("abc"))
	out, err := d.Dir.MakeFixed("fixed", storepath.Flat, sum, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	drv := derivation.Derivation{Name: "fixed", Platform: platforms[runtime.GOARCH], Builder: "/bin/sh", Args: []string{"-c", "printf abc > $out"},
		Outputs: []derivation.Output{{Name: "out", Kind: derivation.Fixed, Path: out, Algorithm: nixhash.SHA256, Hash: sum}},
		Env:     map[string]string{"out": d.Dir.Join(out)}}
	file := tell[*Path](d, &AddTextToStore{Name: "fixed.drv", Text: string(drv.Print(d.Dir))}, nil).Path
	if want, err := drv.Path(d.Dir); file != want {
		t.Errorf("the derivation is %v, want %v, %v", file, want, err)
	}
	if p := tell[*Paths](d, &QueryDerivationOutputs{Path: file}, nil); !slices.Equal(p.Paths, []storepath.Path{out}) {
		t.Errorf("outputs: %v", p.Paths)
	}
	if p := tell[*Names](d, &QueryDerivationOutputNames{Path: file}, nil); !slices.Equal(p.Names, []string{"out"}) {
		t.Errorf("names of outputs: %v", p.Names)
	}
	if p := tell[*OutputMap](d, &QueryDerivationOutputMap{Path: file}, nil); !slices.Equal(p.Outputs, []Output{{"out", out}}) {
		t.Errorf("map of outputs: %v", p.Outputs)
	}
	missing := tell[*Missing](d, &QueryMissing{Paths: []DerivedPath{{Path: file, Outputs: []string{"out"}}}}, nil)
	if !slices.Equal(missing.WillBuild, []storepath.Path{file}) {
		t.Errorf("to be built: %+v", missing)
	}
	result := tell[*BuildResult](d, &BuildDerivation{Path: file, Derivation: drv}, nil)
	if result.Status != 0 || result.Error != "" {
		t.Errorf("built: %+v", result)
	}
	tell[*One](d, &BuildPaths{Paths: []DerivedPath{{Path: file, Outputs: []string{AllOutputs}}}}, nil)
	if p := tell[*Paths](d, &QueryValidDerivers{Path: out}, nil); !slices.Equal(p.Paths, []storepath.Path{file}) {
		t.Errorf("derivers: %v", p.Paths)
	}
	tell[*One](d, &AddBuildLog{file}, []byte("a log"))
	tell[*One](d, &AddTempRoot{Path: out}, nil)
	if roots := tell[*Roots](d, &FindRoots{}, nil); !slices.ContainsFunc(roots.Roots, func(r Root) bool { return r.Path == out }) {
		t.Errorf("roots: %v", roots.Roots)
	}
}

// refusal is an error and leaves the connection in order.
func (d *daemon) refusal() {
	absent, err := storepath.ParseBase(hash1 + "-absent")
	if err != nil {
		d.t.Fatal(err)
	}
	_, err = d.ask(&EnsurePath{Path: absent}, nil)
	var refused *Error
	if !errors.As(err, &refused) || !strings.Contains(refused.Message, "absent") {
		d.t.Errorf("to ensure what is nowhere: %v", err)
	}
	if p := tell[*Bool](d, &IsValidPath{Path: absent}, nil); p.Value {
		d.t.Error("it is valid then")
	}
	live := tell[*GCResult](d, &CollectGarbage{Action: GCReturnLive, MaxFreed: 1<<64 - 1}, nil)
	if !slices.Contains(live.Paths, string(d.Dir)+"/"+hash2+"-two") { // by the temporary roots of this connection
		d.t.Errorf("live: %v", live.Paths)
	}
}
