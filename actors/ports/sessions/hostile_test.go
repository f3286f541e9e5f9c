package sessions_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"troupe/messages/workerproto"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// wire is what the numbers and strings are on the wire.
func wire(items ...any) []byte {
	var b bytes.Buffer
	w := workerproto.NewWriter(&b)
	for _, i := range items {
		switch i := i.(type) {
		case int:
			w.Int(uint64(i))
		case uint64:
			w.Int(i)
		case string:
			w.String(i)
		}
	}
	w.Flush() // into memory
	return b.Bytes()
}

const (
	magic = 0x6e697863
	huge  = uint64(1<<64 - 1)
)

// write sends bytes; that the server has hung up already is no error.
func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		c.t.Fatal(err)
	}
}

// hangUp says that nothing more will come.
func (c *client) hangUp() {
	c.t.Helper()
	if err := c.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil && !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.EPIPE) {
		c.t.Fatal(err)
	}
}

// bystander is a client that must not notice anything: it has a build under way
// the whole time, and asks.
func (w *world) bystander() (look func()) {
	w.t.Helper()
	wait, open := w.gate("bystander")
	r := w.derivation("bystander", wait+"echo > $out")
	busy, asks := w.connect(anybody, newest), w.connect(anybody, newest)
	busy.add(r)
	done := busy.begin(build(r))
	return func() {
		w.t.Helper()
		if !tell[*workerproto.Bool](asks, &workerproto.IsValidPath{Path: r.drv}, nil).Value {
			w.t.Error("what is valid is not for the bystander")
		}
		open()
		if err := <-done; err != nil {
			w.t.Errorf("the bystander is told %v", err)
		}
	}
}

// TestHello: of all that may be said instead of a hello, a version of Nix's from
// 1.18 on is served, and everything else is hung up on, with no more than the greeting.
func TestHello(t *testing.T) {
	w := newWorld(t)
	look := w.bystander()
	for _, b := range [][]byte{nil, {0}, wire(0), wire(huge), wire(magic + 1), []byte("GET / HTTP/1.1\r\nHost: nix\r\n\r\n"), wire(magic),
		bytes.Repeat([]byte{0xff}, 1<<16), wire(magic, 0x126, huge), wire(magic, 0x126, 1<<40, "x"), wire(magic, 0x126, 1, huge)} {
		c := w.raw(anybody)
		c.write(b)
		c.hangUp()
		if rest := c.closes(); !bytes.HasPrefix(greeting(anybody), rest) {
			t.Errorf("%.40x: is answered %x", b, rest)
		}
	}
	versions := []uint64{0, 1, 18, 0x100, 0x10a, 0x111, 0x112, 0x122, 0x125, 0x126, 0x127, 0x1ff, 0x200, 0x212, 0xffff, 1<<16 | 0x122, 1<<32 | 0x122, 1<<63 | 0x122, huge}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		versions = append(versions, rng.Uint64()>>rng.IntN(64))
	}
	for _, v := range versions {
		c := w.raw(anybody)
		c.write(wire(magic, v))
		if v >= 0x126 {
			c.write(wire(0)) // no features
		}
		c.write(wire(0, 0, 13, 13))
		c.hangUp()
		rest := c.closes()
		served := bytes.Count(rest, wire(0x616c7473)) == 3 // one for the hello, two for the requests
		if want := v>>8 == 1 && v >= 0x112; served != want {
			t.Errorf("version %#x: served %v: %x", v, served, rest)
		}
	}
	look()
}

// TestSlowHello: whoever does not say what he is is hung up on after a while,
// which on these connections is a thousandth of what it is.
func TestSlowHello(t *testing.T) {
	w := newWorld(t)
	for _, b := range [][]byte{nil, wire(magic), wire(magic, 0x126)} {
		var hasty *hasty
		c := w.rawAs(anybody, func(conn net.Conn) net.Conn {
			hasty = newHasty(conn)
			return hasty
		})
		c.write(b)
		c.closesNow()
		if hasty.asked > time.Minute || hasty.asked <= 0 {
			t.Errorf("it would have had %v", hasty.asked)
		}
	}
	// One that has said what it is has all the time that there is.
	c := w.rawAs(anybody, func(conn net.Conn) net.Conn { return newHasty(conn) })
	c.write(wire(magic, 0x122, 0, 0))
	c.Dialect = workerproto.Dialect{Dir: w.layout.Dir, Version: 0x122}
	if _, err := io.ReadFull(c.conn, make([]byte, 16+16)); err != nil { // magic, version, "2.34.8"
		t.Fatal(err)
	}
	if err := c.listen(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Minute / 1000) // that nothing ends it is what is tested
	tell[*workerproto.One](c, &workerproto.SyncWithGC{}, nil)
}

// hasty is a connection whose deadlines come a thousand times as fast.
type hasty struct {
	net.Conn
	asked time.Duration
}

func newHasty(conn net.Conn) *hasty { return &hasty{Conn: conn} }

func (h *hasty) SetDeadline(t time.Time) error {
	if t.IsZero() {
		return h.Conn.SetDeadline(t)
	}
	h.asked = time.Until(t)
	return h.Conn.SetDeadline(time.Now().Add(h.asked / 1000))
}

// TestHostileRequests: what cannot be read is answered by an error, if it gets
// that far, and a close; nobody else notices.
func TestHostileRequests(t *testing.T) {
	w := newWorld(t)
	look := w.bystander()
	valid := w.layout.Dir.Join(tell[*workerproto.Path](w.connect(rootUser, newest), &workerproto.AddTextToStore{Name: "x", Text: "x"}, nil).Path)
	for _, c := range []struct {
		sent []byte
		want string // in the error
	}{
		{wire(0), "invalid operation 0"},
		{wire(2), "invalid operation 2"},
		{wire(999), "invalid operation 999"},
		{wire(1000), "invalid operation 1000"},
		{wire(huge), "invalid operation 18446744073709551615"},
		{wire(1, huge), "a string of 18446744073709551615 bytes"},
		{wire(1, 1<<40), "a string of 1099511627776 bytes"},
		{wire(1, valid+"/x"), "is not a store path"},
		{wire(1, "/etc/passwd"), "is not in the store"},
		{wire(1, w.dir+"/store/../../etc/passwd"), "is not a valid store path"},
		{wire(31, huge), "a list of 18446744073709551615 items"},
		{wire(31, 1<<24), "the message is too large"},
		{wire(9, huge), "a list of"},
		{wire(9, 1, valid, 77), "77 is more than 2"},
		{wire(19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, huge), "a list of"},
		{wire(20, 9), "9 is more than 3"},
		{wire(7, "../../x", "fixed:sha256"), "contains illegal character"},
		{wire(7, "", "fixed:sha256"), "must not be empty"},
		{wire(7, strings.Repeat("x", 300), "fixed:sha256"), "name"},
		{wire(7, "x", "fixed:sha512:abc"), "read AddToStore: method"},
		{wire(45, "../../../etc/passwd"), "read AddBuildLog"},
		{wire(8, "x", huge), "too large"},
	} {
		client := w.connect(anybody, newest)
		client.write(c.sent)
		client.hangUp()
		err := client.listen()
		var said *workerproto.Error
		if !errors.As(err, &said) || !strings.Contains(said.Message, c.want) {
			t.Errorf("%.60x: %v, want %q", c.sent, err, c.want)
		}
		if rest := client.closes(); len(rest) > 0 {
			t.Errorf("%.60x: and then %x", c.sent, rest)
		}
	}
	look()
}

// TestArchivesThatLie are refused; nothing of them stays, and the connection is
// in order.
func TestArchivesThatLie(t *testing.T) {
	w := newWorld(t)
	look := w.bystander()
	c := w.connect(rootUser, newest)
	data := archive(t, "data")
	dir := func(names ...string) []byte {
		items := []any{"nix-archive-1", "(", "type", "directory"}
		for _, n := range names {
			items = append(items, "entry", "(", "name", n, "node", "(", "type", "symlink", "target", "/etc", ")", ")")
		}
		return wire(append(items, ")")...)
	}
	lie := func(change func(*workerproto.ValidPathInfo), stream []byte) (workerproto.ValidPathInfo, []byte) {
		info := record(t, hash1+"-lies", stream)
		if change != nil {
			change(&info)
		}
		return info, stream
	}
	for what, of := range map[string]func() (workerproto.ValidPathInfo, []byte){
		"another hash": func() (workerproto.ValidPathInfo, []byte) {
			return lie(func(i *workerproto.ValidPathInfo) { i.NarHash = nixhash.Sum(nixhash.SHA256, nil) }, data)
		},
		"a smaller size": func() (workerproto.ValidPathInfo, []byte) {
			return lie(func(i *workerproto.ValidPathInfo) { i.NarSize-- }, data)
		},
		"a larger size": func() (workerproto.ValidPathInfo, []byte) {
			return lie(func(i *workerproto.ValidPathInfo) { i.NarSize = huge }, data)
		},
		"another address": func() (workerproto.ValidPathInfo, []byte) {
			return lie(func(i *workerproto.ValidPathInfo) { i.CA = "fixed:r:" + i.NarHash.String() }, data)
		},
		"an unknown input": func() (workerproto.ValidPathInfo, []byte) {
			return lie(func(i *workerproto.ValidPathInfo) {
				i.References = []storepath.Path{record(t, hash2+"-gone", nil).Path}
			}, data)
		},
		"nothing":      func() (workerproto.ValidPathInfo, []byte) { return lie(nil, nil) },
		"half of it":   func() (workerproto.ValidPathInfo, []byte) { return lie(nil, data[:len(data)/2]) },
		"more than it": func() (workerproto.ValidPathInfo, []byte) { return lie(nil, append(bytes.Clone(data), data...)) },
		"no archive":   func() (workerproto.ValidPathInfo, []byte) { return lie(nil, []byte("#!/bin/sh\nrm -rf /\n")) },
		"a huge file": func() (workerproto.ValidPathInfo, []byte) {
			return lie(nil, wire("nix-archive-1", "(", "type", "regular", "contents", huge))
		},
		"dots":              func() (workerproto.ValidPathInfo, []byte) { return lie(nil, dir("..")) },
		"a slash":           func() (workerproto.ValidPathInfo, []byte) { return lie(nil, dir("a/b")) },
		"a name twice":      func() (workerproto.ValidPathInfo, []byte) { return lie(nil, dir("a", "a")) },
		"names in no order": func() (workerproto.ValidPathInfo, []byte) { return lie(nil, dir("b", "a")) },
		"an empty name":     func() (workerproto.ValidPathInfo, []byte) { return lie(nil, dir("")) },
		"a very deep tree":  func() (workerproto.ValidPathInfo, []byte) { return lie(nil, deep(20_000)) },
	} {
		info, stream := of()
		if _, err := c.ask(&workerproto.AddToStoreNar{Info: info, DontCheckSigs: true}, stream); err == nil {
			t.Errorf("%s is taken", what)
		}
		if _, err := c.ask(&workerproto.AddMultipleToStore{DontCheckSigs: true}, salted{c, w, ""}.many(stream, info)); err == nil {
			t.Errorf("%s is taken among many", what)
		}
		if tell[*workerproto.Bool](c, &workerproto.IsValidPath{Path: info.Path}, nil).Value {
			t.Errorf("%s is valid", what)
		}
		if err := nar.Parse(bytes.NewReader(stream), nil); err != nil {
			w.refuses(what, stream)
		}
		if _, err := os.Lstat(w.layout.RealPath(info.Path)); err == nil {
			t.Errorf("%s: the path is there", what)
		}
	}
	// Without frames nobody knows where the lie ends.
	old := w.connect(rootUser, 20)
	info, stream := lie(nil, wire("nix-archive-1", "(", "type", "device"))
	if _, err := old.ask(&workerproto.AddToStoreNar{Info: info, DontCheckSigs: true}, stream); err == nil {
		t.Error("it is taken from an old client")
	}
	old.closes()
	left, err := os.ReadDir(w.layout.StagingDir())
	left = slices.DeleteFunc(left, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), "lock-") }) // spares, for other paths
	if err != nil || len(left) > 1 {                                                                         // the directory of roots
		t.Errorf("staged are %v, %v", left, err)
	}
	look()
}

// refuses looks that what is no archive is not added by its contents either, by old
// clients and by new ones, nor taken from an old client with a record.
func (w *world) refuses(what string, stream []byte) {
	w.t.Helper()
	for _, minor := range []uint8{20, 24, 38} {
		for _, m := range []storepath.Method{storepath.NAR, storepath.Flat} {
			if m == storepath.Flat && minor == 38 {
				continue // then a file is no archive
			}
			c := w.connect(rootUser, minor)
			if c.takes(&workerproto.AddToStore{Name: "lies", Method: m, Algorithm: nixhash.SHA256}, stream) {
				w.t.Errorf("%s is added by method %v in version 1.%d", what, m, minor)
			}
		}
	}
	old := w.connect(rootUser, 20)
	info := record(w.t, hash1+"-lies", stream)
	if old.takes(&workerproto.AddToStoreNar{Info: info, DontCheckSigs: true}, stream) {
		w.t.Errorf("%s is taken from an old client", what)
	}
	if found, err := filepath.Glob(w.layout.RealStoreDir() + "/*-lies"); err != nil || len(found) > 0 {
		w.t.Errorf("%s: there are %v, %v", what, found, err)
	}
}

// takes reports whether a request is granted after which the client says nothing more.
func (c *client) takes(q workerproto.Request, stream []byte) bool {
	c.t.Helper()
	if c.send(q, stream) != nil {
		return false // it has hung up
	}
	c.hangUp()
	return c.listen() == nil
}

// deep is an archive of directories in directories.
func deep(n int) []byte {
	var b bytes.Buffer
	b.Write(wire("nix-archive-1"))
	for range n {
		b.Write(wire("(", "type", "directory", "entry", "(", "name", "d", "node"))
	}
	b.Write(wire("(", "type", "directory", ")"))
	for range n {
		b.Write(wire(")", ")"))
	}
	return b.Bytes()
}

// TestFlood: requests that come faster than they are answered, and whose answers
// nobody reads at first, are answered in order; others are served meanwhile.
func TestFlood(t *testing.T) {
	w := newWorld(t)
	look := w.bystander()
	c := w.connect(anybody, newest)
	valid := tell[*workerproto.Path](c, &workerproto.AddTextToStore{Name: "x", Text: "x"}, nil).Path
	gone := record(t, hash1+"-gone", nil).Path
	const requests = 20_000
	go func() {
		for i := range requests {
			p := gone
			if i%3 == 0 {
				p = valid
			}
			if err := c.send(&workerproto.IsValidPath{Path: p}, nil); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	look()
	for i := range requests {
		var b [16]byte
		if _, err := io.ReadFull(c.r, b[:]); err != nil {
			t.Fatal(err)
		}
		last, valid := binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
		if last != 0x616c7473 || (valid == 1) != (i%3 == 0) {
			t.Fatalf("answer %d is %x", i, b)
		}
	}
}
