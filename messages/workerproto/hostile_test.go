package workerproto

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"troupe/storage/storepath"
)

// TestHello holds both sides against the bytes of the newest versions, which no
// captured session has.
func TestHello(t *testing.T) {
	client := wire(0x6e697863, 0x127, 2, RealisationWithPath, "x", 1, 3, 1)
	server := wire(0x6478696f, 0x126, 2, DeleteReferrers, RealisationWithPath, "2.35.2", 2)
	c, r, w := converse(client)
	d, err := Server{Dir: dir, Version: Newest, Features: []string{RealisationWithPath, DeleteReferrers}, NixVersion: "2.35.2", Trust: NotTrusted}.Accept(r, w)
	if err != nil {
		t.Fatal(err)
	}
	want := in(38, RealisationWithPath)
	if !reflect.DeepEqual(d, want) || !bytes.Equal(c.sent.Bytes(), server) {
		t.Errorf("server: %v, %q", d, c.sent.Bytes())
	}
	c, r, w = converse(server)
	peer, err := Client{Dir: dir, Version: 0x127, Features: []string{"x", RealisationWithPath}}.Connect(r, w)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(peer, Peer{want, "2.35.2", NotTrusted}) {
		t.Errorf("client: %v", peer)
	}
	if err := same(c.sent.Bytes(), wire(0x6e697863, 0x127, 2, RealisationWithPath, "x", 0, 0)); err != nil {
		t.Errorf("client: %v", err)
	}
}

// TestHelloRefuses names what is wrong with a peer.
func TestHelloRefuses(t *testing.T) {
	for _, c := range []struct {
		sent []byte
		want string
	}{
		{nil, "read hello: magic number: unexpected EOF"},
		{wire(0x6e697864, 0x126), "read hello: protocol mismatch: magic number 0x6e697864"},
		{wire(0x6e697863), "read hello: version: unexpected EOF"},
		{wire(0x6e697863, 0x111), "read hello: protocol version 1.17 is too old, 1.18 is needed"},
		{wire(0x6e697863, 0), "read hello: protocol version 0.0 is not supported, its major is not 1"},
		{wire(0x6e697863, 0x226), "read hello: protocol version 2.38 is not supported, its major is not 1"},
		{wire(0x6e697863, 0x10126), "read hello: 0x10126 is no protocol version"},
		{wire(0x6e697863, uint64(1<<64-1)), "read hello: 0xffffffffffffffff is no protocol version"},
		{wire(0x6e697863, 0x126, uint64(1<<64-1)), "read hello: features: a list of 18446744073709551615 items: the message is too large"},
		{wire(0x6e697863, 0x126, 1025), "read hello: features: 1025 entries, more than 1024"},
		{wire(0x6e697863, 0x122, 0), "read hello: reserve space: unexpected EOF"},
	} {
		_, r, w := converse(c.sent)
		_, err := Server{Dir: dir, Version: Newest}.Accept(r, w)
		if err == nil || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.sent, err, c.want)
		}
	}
	_, r, w := converse(wire(0x6e697863, 0x111))
	_, err := Server{Version: Newest}.Accept(r, w)
	var version *VersionError
	if !errors.As(err, &version) || version.Got != 0x111 {
		t.Errorf("the error is %T", err)
	}
}

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

// TestDerivedPathsThatOldVersionsLack: what cannot be said is refused, not
// changed.
func TestDerivedPathsThatOldVersionsLack(t *testing.T) {
	for _, p := range []DerivedPath{{Path: path(t, bDrv)}, {Path: path(t, bDrv), Through: []string{"out"}, Outputs: []string{"out"}}} {
		err := WriteRequest(NewWriter(io.Discard), &BuildPaths{Paths: []DerivedPath{p}}, in(29))
		var unsupported *UnsupportedError
		if !errors.As(err, &unsupported) {
			t.Errorf("%v: %v", p, err)
		}
	}
	p, err := ParseDerivedPath(dir, bDrv+"^out^b,a")
	if err != nil || p.Format(dir) != bDrv+"!out!a,b" {
		t.Errorf("%v, %v", p, err)
	}
	var unsupported *UnsupportedError
	if !errors.As(p.Supported(), &unsupported) {
		t.Errorf("%v is said to be supported", p)
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
