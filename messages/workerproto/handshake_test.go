package workerproto

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
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
	if _, err := r.ReadOp(); err != io.EOF {
		t.Errorf("server: after the hello: %v", err)
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

// TestHelloByVersion: what a server says last.
func TestHelloByVersion(t *testing.T) {
	for minor, said := range map[int][]byte{32: nil, 33: wire("x"), 34: wire("x"), 35: wire("x", 1), 37: wire("x", 1)} {
		c, r, w := converse(wire(0x6e697863, 0x100+minor, 0, 0))
		if _, err := (Server{Dir: dir, Version: Newest, NixVersion: "x", Trust: Trusted}).Accept(r, w); err != nil {
			t.Fatal(err)
		}
		if err := same(c.sent.Bytes(), wire(0x6478696f, 0x126, said)); err != nil {
			t.Errorf("in 1.%d: %v", minor, err)
		}
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
