package workerproto

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// TestRefusals: what a hostile client may send, and what is said to it.
func TestRefusals(t *testing.T) {
	huge := uint64(1<<64 - 1)
	for _, c := range []struct {
		sent []byte
		want string
	}{
		{wire(999), "invalid operation 999"},
		{wire(huge), "invalid operation 18446744073709551615"},
		{wire(5), "invalid operation 5"},
		{wire(1), "read IsValidPath: path: unexpected EOF"},
		{wire(1, huge), "read IsValidPath: path: a string of 18446744073709551615 bytes, more than 4096"},
		{wire(1, 4096), "read IsValidPath: path: unexpected EOF"},
		{wire(1, a)[:62], "read IsValidPath: path: unexpected EOF"},
		{append(wire(1, a)[:63], 1), "read IsValidPath: path: the padding is not zero"},
		{wire(1, "/gnu/store/x"), "read IsValidPath: path: path '/gnu/store/x' is not in the store '/nix/store'"},
		{wire(1, ""), "read IsValidPath: path: path '' is not in the store '/nix/store'"},
		{wire(1, a+"/x"), "read IsValidPath: path: path '" + a + "/x' is not a store path"},
		{wire(32, huge), "read QuerySubstitutablePaths: paths: a list of 18446744073709551615 items: the message is too large"},
		{wire(32, 1000000), "read QuerySubstitutablePaths: paths: unexpected EOF"},
		{wire(8, "x", huge), "read AddTextToStore: text: a string of 18446744073709551615 bytes: the message is too large"},
		{wire(8, "x", 1<<26), "read AddTextToStore: text: unexpected EOF"},
		{wire(8, "../x"), "read AddTextToStore: name: name '../x' contains illegal character '/'"},
		{wire(35, 2), "read VerifyStore: check contents: 2 is neither 0 nor 1"},
		{wire(9, 0, 3), "read BuildPaths: mode: 3 is more than 2"},
		{wire(9, 1, a+"!out"), "read BuildPaths: paths: '" + hash1 + "-a' has outputs and is no derivation"},
		{wire(9, 1, bDrv+"!"), "read BuildPaths: paths: outputs '': name must not be empty"},
		{wire(9, 1, bDrv+"!a,,b"), "read BuildPaths: paths: outputs 'a,,b': name must not be empty"},
		{wire(20, 4), "read CollectGarbage: action: 4 is more than 3"},
		{wire(7, "a", "nar:sha256"), "read AddToStore: method: content address 'nar:sha256' begins with neither 'text:' nor 'fixed:'"},
		{wire(7, "a", "text:md5"), "read AddToStore: method: text is addressed by sha256, not by md5"},
		{wire(19, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 65537), "read SetOptions: overrides: 65537 entries, more than 65536"},
		{wire(39, a, "", "00"), `read AddToStoreNar: nar hash: parse hash "00": wrong length for algorithm 'sha256'`},
		{wire(39, a, "", hex0, 0, huge), "read AddToStoreNar: registration time: 18446744073709551615 is out of range"},
		{wire(42, "{}"), "read RegisterDrvOutput: realisation: parse realisation: '' names no output of a derivation"},
		{wire(42, `{"id":"sha256:`+hex0+`!out"}`), "read RegisterDrvOutput: realisation: parse realisation 'sha256:" + hex0 + "!out': it has no outPath"},
		{wire(42, strings.Repeat("[", 1<<20)), "read RegisterDrvOutput: realisation: parse realisation: invalid character '[' exceeded max depth"},
	} {
		r := NewReader(bytes.NewReader(c.sent))
		op, err := r.ReadOp()
		if err == nil {
			_, err = DecodeRequest(r, op, in(38))
		}
		if err == nil || err.Error() != c.want {
			t.Errorf("%.100q: %v, want %s", c.sent, err, c.want)
		}
	}
}

// TestServersRefused: what a hostile server may send.
func TestServersRefused(t *testing.T) {
	for _, c := range []struct {
		sent []byte
		want string
	}{
		{wire(1), "read frame: tag: 0x1 is not known"},
		{wire(0x63787470, "Warning"), "read frame *workerproto.Error: kind: 'Warning' instead of 'Error'"},
		{wire(0x63787470, "Error", 0, "Error", "no", 1), "read frame *workerproto.Error: position: 1 instead of 0"},
		{wire(0x52534c54, 1, 101, 1, 2), "read frame *workerproto.Result: fields: 2 is neither 0 nor 1"},
	} {
		if _, err := ReadFrame(NewReader(bytes.NewReader(c.sent)), in(38)); err == nil || err.Error() != c.want {
			t.Errorf("%.100q: %v, want %s", c.sent, err, c.want)
		}
	}
	const want = "read reply to BuildDerivation: user cpu: 18446744073709551615 microseconds are out of range"
	sent := wire(0, "", 1, 0, 0, 0, 1, uint64(1<<64-1))
	if _, err := ReadReply(NewReader(bytes.NewReader(sent)), &BuildDerivation{}, in(38)); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestLenience: what peers are forgiven, and how it is understood.
func TestLenience(t *testing.T) {
	for _, c := range []struct {
		d    Dialect
		sent []byte
		want Request
	}{
		{in(38), wire(19, 2, 0, 0, 20, 1, 0, 0, 9, 5, 5, 1, 1, 0), &SetOptions{KeepFailed: true, Verbosity: LevelVomit, MaxBuildJobs: 1,
			BuildVerbosity: LevelVomit, BuildCores: 1, UseSubstitutes: true, Overrides: map[string]string{}}},
		{in(24), wire(7, "a", 0, 0, "sha1"), &AddToStore{Name: "a", Method: storepath.NAR, Algorithm: nixhash.SHA256}},
		{in(38), wire(20, 0, 0, 0, 0, 1, 2, 3), &CollectGarbage{}},
	} {
		var got Request
		err := wholly(c.sent, func(r *Reader) error {
			op, err := r.ReadOp()
			if err == nil {
				got, err = DecodeRequest(r, op, c.d)
			}
			return err
		})
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("read %+v, %v, want %+v", got, err, c.want)
		}
	}
}

// TestBoundIsForEachMessage: a long conversation is not a long message.
func TestBoundIsForEachMessage(t *testing.T) {
	one := wire(1, a)
	r := NewReader(bytes.NewReader(bytes.Repeat(one, 100)))
	r.SetLimit(int64(len(one)))
	for range 100 {
		op, err := r.ReadOp()
		if err == nil {
			_, err = DecodeRequest(r, op, in(38))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestCannotBeSaid: what a dialect lacks is refused, not left out.
func TestCannotBeSaid(t *testing.T) {
	for _, c := range []struct {
		d Dialect
		q Request
	}{
		{in(38), &CollectGarbage{WholeStore: true}},
		{in(38), &CollectGarbage{Referrers: true}},
		{in(24), &AddToStore{Name: "a", Method: storepath.Git, Algorithm: nixhash.SHA1}},
		{in(29), &BuildPaths{Paths: []DerivedPath{{Path: path(t, bDrv)}}}},
		{in(29), &BuildPaths{Paths: []DerivedPath{{Path: path(t, bDrv), Through: []string{"out"}, Outputs: []string{"out"}}}}},
	} {
		err := WriteRequest(NewWriter(io.Discard), c.q, c.d)
		var unsupported *UnsupportedError
		if !errors.As(err, &unsupported) {
			t.Errorf("%+v: %v", c.q, err)
		}
	}
	if err := WriteReply(NewWriter(io.Discard), &Path{}, in(38)); err == nil {
		t.Error("no path is written as a path")
	}
	_, err := ReadReply(NewReader(bytes.NewReader(wire(2))), &EnsurePath{}, in(38))
	if err == nil || err.Error() != "read reply to EnsurePath: done: 2 instead of 1" {
		t.Errorf("done twice: %v", err)
	}
}

// TestEveryCut: a client that goes away at any byte is told apart from one that
// is done.
func TestEveryCut(t *testing.T) {
	whole := wire(39, a, bDrv, hex0, 1, a, 5, 9, 1, 1, "k:s", "", 0, 1)
	for n := range whole {
		r := NewReader(bytes.NewReader(whole[:n]))
		op, err := r.ReadOp()
		if n == 0 {
			if err != io.EOF {
				t.Errorf("the end is %v", err)
			}
			continue
		}
		if err == nil {
			_, err = DecodeRequest(r, op, in(38))
		}
		var bad *DecodeError
		if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &bad) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

// TestDynamicDerivations are read where they can be said, and not supported.
func TestDynamicDerivations(t *testing.T) {
	r := NewReader(bytes.NewReader(wire(9, 1, bDrv+"!a!b", 0)))
	op, err := r.ReadOp()
	if err == nil {
		_, err = DecodeRequest(r, op, in(29))
	}
	if want := "read BuildPaths: paths: '" + bDrv + "!a!b' has outputs of outputs in a version before 1.30"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	p, err := ParseDerivedPath(dir, bDrv+"^out^b,a")
	if err != nil || p.Format(dir) != bDrv+"!out!a,b" {
		t.Errorf("%v, %v", p, err)
	}
}

// allocated is how many bytes f takes, those that it gives back included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestClaimsTakeNoMemory: a length or a count that is within bounds, and lies.
func TestClaimsTakeNoMemory(t *testing.T) {
	for _, sent := range [][]byte{
		wire(8, "x", DefaultLimit-100),
		wire(32, DefaultLimit/8-100),
		wire(19, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 65536),
		wire(40, DefaultLimit/8-100, a),
		wire(36, bDrv, DefaultLimit/8-100, "out"),
	} {
		got := allocated(func() {
			r := NewReader(bytes.NewReader(sent))
			op, err := r.ReadOp()
			if err == nil {
				_, err = DecodeRequest(r, op, in(38))
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q: %v", sent, err)
			}
		})
		if got > 4*chunkSize {
			t.Errorf("%q took %d bytes", sent, got)
		}
	}
}

// TestMillionPaths: a list that a large store has is within bounds, and what is
// beyond them is refused.
func TestMillionPaths(t *testing.T) {
	const n = 1000000
	name := wire("/nix/store/" + hash1 + "-python3.11-some-package-1.2.3-x")
	sent := append(wire(32, n), bytes.Repeat(name, n)...)
	decode := func(limit int64) error {
		r := NewReader(bytes.NewReader(sent))
		r.SetLimit(limit)
		op, err := r.ReadOp()
		if err != nil {
			return err
		}
		q, err := DecodeRequest(r, op, in(38))
		if err == nil && len(q.(*QuerySubstitutablePaths).Paths) != 1 {
			t.Errorf("%d paths are left of the same one", len(q.(*QuerySubstitutablePaths).Paths))
		}
		return err
	}
	if err := decode(DefaultLimit); err != nil {
		t.Error(err)
	}
	if err := decode(1 << 20); !errors.Is(err, errBudget) {
		t.Errorf("in a mebibyte: %v", err)
	}
}

// TestSetsAreSorted: what comes unsorted is sorted and without repeats in
// memory, and what is given unsorted is sorted on the wire.
func TestSetsAreSorted(t *testing.T) {
	var q Request
	if err := wholly(wire(32, 3, bDrv, a, bDrv), func(r *Reader) error {
		op, err := r.ReadOp()
		if err == nil {
			q, err = DecodeRequest(r, op, in(38))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	pa, pb := path(t, a), path(t, bDrv)
	if got := q.(*QuerySubstitutablePaths).Paths; !reflect.DeepEqual(got, []storepath.Path{pa, pb}) {
		t.Errorf("read %v", got)
	}
	given := []storepath.Path{pb, pa, pb}
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := errors.Join(WriteReply(w, &Paths{given}, in(38)), w.Flush()); err != nil {
		t.Fatal(err)
	}
	if err := same(b.Bytes(), wire(2, a, bDrv)); err != nil {
		t.Error(err)
	}
	if given[0] != pb {
		t.Error("what was given has changed")
	}
}
