package workerproto

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"troupe/storage/nar"
	"troupe/storage/storepath"
)

// part is a message of a captured session, as an independent decoder cut it out.
// testdata/README says how they were made.
type part struct {
	server bool   // who sent it
	name   string // "hello", an operation, "framed", "nar", "data", "frame next" …, "reply"
	bytes  []byte
	line   int
}

// session is one file of captured connections.
func session(t testing.TB, file string) (parts []part) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line := 0
	for l := range strings.Lines(string(text)) {
		line++
		if name, ok := strings.CutPrefix(l, "> "); ok {
			parts = append(parts, part{false, strings.TrimSpace(name), nil, line})
		} else if name, ok := strings.CutPrefix(l, "< "); ok {
			parts = append(parts, part{true, strings.TrimSpace(name), nil, line})
		} else if len(parts) > 0 {
			digits, _, _ := strings.Cut(l, "|")
			b, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
			if err != nil {
				t.Fatalf("%s:%d: %v", file, line, err)
			}
			last := &parts[len(parts)-1]
			last.bytes = append(last.bytes, b...)
		}
	}
	return parts
}

func captures(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captured sessions: %v", err)
	}
	return files
}

// replay follows captured connections.
type replay struct {
	t       *testing.T
	d       Dialect
	request Request
	seen    map[string]int
}

// TestCapturedSessions: what real clients and daemons say to each other is read
// to the last byte, and what we write of it is the same bytes.
func TestCapturedSessions(t *testing.T) {
	seen := map[string]int{}
	for _, file := range captures(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			p := &replay{t: t, seen: seen}
			parts := session(t, file)
			for i, m := range parts {
				if err := p.part(m, parts[i+1:]); err != nil {
					t.Fatalf("%s:%d: %s: %v\n%s", file, m.line, m.name, err, hex.Dump(m.bytes))
				}
			}
		})
	}
	for op, known := range operations {
		if seen[known.name] == 0 && !neverSent[op] {
			t.Errorf("no capture has %v", op)
		}
	}
}

// neverSent are operations that no command of Nix 2.8.0 sends here. The tests
// of the real daemon, and of newer forms, have them.
var neverSent = map[Op]bool{
	OpAddBuildLog: true, OpAddPermRoot: true, OpQuerySubstitutablePathInfo: true, OpBuildDerivation: true,
	OpQueryDeriver: true, OpQueryDerivationOutputNames: true, OpSyncWithGC: true, OpQueryValidDerivers: true,
	OpQueryDerivationOutputs: true, OpQueryPathFromHashPart: true, OpNarFromPath: true,
}

func (p *replay) part(m part, rest []part) error {
	p.seen[m.name]++
	switch name, _, _ := strings.Cut(m.name, " "); name {
	case "hello":
		if m.server {
			return nil // seen with the client's
		}
		return p.hello(m.bytes, rest[0].bytes)
	case "frame":
		return p.frame(m)
	case "reply":
		return p.reply(m.bytes)
	case "nar":
		return wholly(m.bytes, func(r *Reader) error { return nar.Parse(r, nil) })
	case "framed":
		return wholly(m.bytes, p.framed)
	case "data":
		return wholly(m.bytes, func(r *Reader) error { _, err := r.String(pullSize); return err })
	}
	return p.ask(m)
}

// wholly reads something that must be all there is.
func wholly(b []byte, read func(*Reader) error) error {
	src := bytes.NewReader(b)
	r := NewReader(src)
	if err := read(r); err != nil {
		return err
	}
	if left := src.Len() + r.Buffered(); left > 0 {
		return fmt.Errorf("%d bytes are left", left)
	}
	return nil
}

func same(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("written as\n%s", hex.Dump(got))
	}
	return nil
}

// conversation is a stream whose other direction is kept.
type conversation struct {
	in   *bytes.Reader
	sent bytes.Buffer
}

func converse(in []byte) (*conversation, *Reader, *Writer) {
	c := &conversation{in: bytes.NewReader(in)}
	return c, NewReader(c.in), NewWriter(&c.sent)
}

func (p *replay) hello(client, server []byte) error {
	version := Version(server[8]) | Version(server[9])<<8
	const dir = storepath.Dir("/nix/store")
	c, r, w := converse(server)
	peer, err := Client{Dir: dir, Version: Version(client[8]) | Version(client[9])<<8}.Connect(r, w)
	if err != nil {
		return err
	}
	if err := same(c.sent.Bytes(), client); err != nil {
		return err
	}
	p.d = peer.Dialect
	c, r, w = converse(client)
	d, err := Server{Dir: dir, Version: version, NixVersion: "2.8.0"}.Accept(r, w)
	if err != nil {
		return err
	}
	if d.Version != p.d.Version {
		return fmt.Errorf("server speaks %v, client %v", d.Version, p.d.Version)
	}
	return same(c.sent.Bytes(), server)
}

func (p *replay) ask(m part) error {
	err := wholly(m.bytes, func(r *Reader) error {
		op, err := r.ReadOp()
		if err != nil {
			return err
		}
		p.request, err = DecodeRequest(r, op, p.d)
		return err
	})
	if err != nil {
		return err
	}
	if got := p.request.Op().String(); got != m.name {
		return fmt.Errorf("read as %s", got)
	}
	c, _, w := converse(nil)
	if err := WriteRequest(w, p.request, p.d); err != nil {
		return err
	}
	w.Flush()
	return same(c.sent.Bytes(), m.bytes)
}

func (p *replay) reply(b []byte) (err error) {
	var reply Reply
	err = wholly(b, func(r *Reader) error { reply, err = ReadReply(r, p.request, p.d); return err })
	if err != nil {
		return err
	}
	c, _, w := converse(nil)
	if err := WriteReply(w, reply, p.d); err != nil {
		return err
	}
	w.Flush()
	return same(c.sent.Bytes(), b)
}

func (p *replay) frame(m part) (err error) {
	var frame Frame
	err = wholly(m.bytes, func(r *Reader) error { frame, err = ReadFrame(r, p.d); return err })
	if err != nil {
		return err
	}
	if want := "frame " + frameNames[frame.tag()]; want != m.name {
		return fmt.Errorf("read as %s", want)
	}
	c, _, w := converse(nil)
	if err := WriteFrame(w, frame, p.d); err != nil {
		return err
	}
	w.Flush()
	return same(c.sent.Bytes(), m.bytes)
}

var frameNames = map[uint64]string{
	tagNext: "next", tagRead: "read", tagLast: "last", tagError: "error", tagStart: "start", tagStop: "stop", tagRes: "result",
}

// framed reads a framed stream, whose frames may end anywhere, and what is in
// it where the operation says so.
func (p *replay) framed(r *Reader) error {
	if p.request.Stream(p.d) != StreamFramed {
		return fmt.Errorf("%v says that %v follows", p.request.Op(), p.request.Stream(p.d))
	}
	stream := NewFramed(r)
	if _, multiple := p.request.(*AddMultipleToStore); multiple {
		if err := p.objects(NewReader(stream)); err != nil {
			return err
		}
	}
	return stream.Drain()
}

func (p *replay) objects(r *Reader) error {
	n, err := r.Int()
	if err != nil {
		return err
	}
	for range n {
		info, err := ReadPathInfo(r, p.d)
		if err != nil {
			return err
		}
		c, _, w := converse(nil)
		if err := WritePathInfo(w, info, p.d); err != nil {
			return err
		}
		w.Flush()
		p.seen["object "+info.Path.Name()] += c.sent.Len()
		if err := nar.Parse(r, nil); err != nil {
			return err
		}
	}
	return nil
}

// TestWholeConversations: a server that reads a client's bytes in one go, or one
// at a time, finds each operation where the last one and its stream ended.
func TestWholeConversations(t *testing.T) {
	for _, file := range captures(t) {
		var client []byte
		var want []string
		check := func() {
			if client == nil {
				return
			}
			for _, src := range []io.Reader{bytes.NewReader(client), iotest.OneByteReader(bytes.NewReader(client))} {
				if got, err := serve(src); err != nil || !slices.Equal(got, want) {
					t.Errorf("%s: %v: got %q, want %q", file, err, got, want)
				}
			}
		}
		for _, m := range session(t, file) {
			if m.server {
				continue
			}
			if m.name == "hello" {
				check()
				client, want = nil, nil
			} else if op, _, _ := strings.Cut(m.name, " "); op != "framed" && op != "nar" && op != "data" {
				want = append(want, op)
			}
			client = append(client, m.bytes...)
		}
		check()
	}
}

// serve reads all that a client says.
func serve(src io.Reader) (ops []string, err error) {
	r, w := NewReader(src), NewWriter(io.Discard)
	d, err := Server{Dir: "/nix/store", Version: Newest}.Accept(r, w)
	if err != nil {
		return nil, err
	}
	for {
		op, err := r.ReadOp()
		if err == io.EOF {
			return ops, nil
		}
		if err != nil {
			return ops, err
		}
		q, err := DecodeRequest(r, op, d)
		if err != nil {
			return ops, err
		}
		if err := skipStream(r, w, q.Stream(d)); err != nil {
			return ops, fmt.Errorf("%v: %w", op, err)
		}
		ops = append(ops, op.String())
	}
}

func skipStream(r *Reader, w *Writer, s Stream) error {
	switch s {
	case StreamFramed:
		return NewFramed(r).Drain()
	case StreamNAR:
		return nar.Parse(r, nil)
	case StreamPull:
		return nar.Parse(NewPull(r, w), nil)
	}
	return nil
}
