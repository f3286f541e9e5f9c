// Package nar reads and writes Nix archives: one file, directory or symbolic
// link in one canonical sequence of bytes. It accepts exactly what Nix 2.34
// accepts, in bounded memory, and touches files by directory descriptors only.
package nar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	magic       = "nix-archive-1"
	maxDepth    = 64   // of directories in directories
	maxName     = 255  // bytes of an entry's name
	maxTarget   = 4095 // bytes of a link's target
	maxTokenLen = 16   // bytes of any keyword
)

// Sink takes what an archive holds, in its order. Names are checked already.
type Sink interface {
	// Directory begins a directory, which [Sink.Up] ends.
	Directory(name string) error
	Up() error
	Symlink(name, target string) error
	// File reads contents to their end, or not at all; size is in bytes.
	File(name string, executable bool, size uint64, contents io.Reader) error
}

// SyntaxError refuses an archive.
type SyntaxError struct {
	Offset uint64 // of the byte where the archive is wrong, about
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("bad archive: byte %d: %s", e.Offset, e.Reason)
}

// Parse reads one archive from r, and nothing after it, and gives what it holds
// to the sink. The top has the empty name. With a nil sink it only checks.
func Parse(r io.Reader, s Sink) error {
	if s == nil {
		s = discard{}
	}
	p := &parser{r: r, sink: s}
	defer p.free()
	if err := p.expect(magic); err != nil {
		return err
	}
	return p.node("", 0)
}

type discard struct{}

func (discard) Directory(string) error       { return nil }
func (discard) Up() error                    { return nil }
func (discard) Symlink(string, string) error { return nil }
func (discard) File(_ string, _ bool, _ uint64, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

type parser struct {
	r    io.Reader
	sink Sink
	at   uint64
	word [8]byte
	room [maxName + 8]byte // for keywords and names
	body contents          // of the file that is read
	copy *[]byte           // of [buffers], or nil
}

func (p *parser) free() {
	if p.copy != nil {
		buffers.Put(p.copy)
	}
}

func (p *parser) bad(format string, args ...any) error {
	return &SyntaxError{Offset: p.at, Reason: fmt.Sprintf(format, args...)}
}

// read fills b, or says that the archive ends too early.
func (p *parser) read(b []byte) error {
	n, err := io.ReadFull(p.r, b)
	p.at += uint64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return p.bad("it is cut short")
	}
	return err
}

func (p *parser) length() (uint64, error) {
	err := p.read(p.word[:])
	return binary.LittleEndian.Uint64(p.word[:]), err
}

func (p *parser) padding(size uint64) error {
	pad := p.word[:-size&7]
	if err := p.read(pad); err != nil {
		return err
	}
	return p.zero(pad)
}

func (p *parser) zero(pad []byte) error {
	for _, b := range pad {
		if b != 0 {
			return p.bad("the padding is not zero")
		}
	}
	return nil
}

// bytes reads a string of at most limit bytes, which holds until the next is read.
func (p *parser) bytes(limit uint64, what string) ([]byte, error) {
	n, err := p.length()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, p.bad("%s is %d bytes long, which is more than %d", what, n, limit)
	}
	b := p.room[:]
	padded := n + -n&7
	if padded > uint64(len(b)) {
		b = make([]byte, padded)
	}
	if err := p.read(b[:padded]); err != nil {
		return nil, err
	}
	return b[:n], p.zero(b[n:padded])
}

// string is bytes that are kept.
func (p *parser) string(limit uint64, what string) (string, error) {
	b, err := p.bytes(limit, what)
	return string(b), err
}

// keywords are all that are known: a file has a dozen, and none is copied.
var keywords = func() map[string]string {
	known := map[string]string{}
	for _, k := range []string{magic, "(", ")", "type", "regular", "executable", "contents", "directory", "entry", "name", "node", "symlink", "target"} {
		known[k] = k
	}
	return known
}()

func (p *parser) token() (string, error) {
	b, err := p.bytes(maxTokenLen, "a keyword")
	if known, ok := keywords[string(b)]; ok {
		return known, err
	}
	return string(b), err
}

func (p *parser) expect(want string) error {
	got, err := p.token()
	if err == nil && got != want {
		err = p.bad("expected %q, found %q", want, got)
	}
	return err
}

func (p *parser) expectAll(want ...string) error {
	for _, w := range want {
		if err := p.expect(w); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) node(name string, depth int) error {
	if depth >= maxDepth {
		return p.bad("directories are nested more than %d deep", maxDepth)
	}
	if err := p.expectAll("(", "type"); err != nil {
		return err
	}
	kind, err := p.token()
	if err != nil {
		return err
	}
	switch kind {
	case "regular":
		return p.file(name)
	case "directory":
		return p.directory(name, depth)
	case "symlink":
		return p.symlink(name)
	}
	return p.bad("unknown file type %q", kind)
}

func (p *parser) symlink(name string) error {
	if err := p.expect("target"); err != nil {
		return err
	}
	target, err := p.string(maxTarget, "the target of a symlink")
	switch {
	case err != nil:
		return err
	case target == "":
		return p.bad("the target of a symlink is empty")
	case strings.IndexByte(target, 0) >= 0:
		return p.bad("the target of a symlink has a zero byte")
	}
	if err := p.expect(")"); err != nil {
		return err
	}
	return p.sink.Symlink(name, target)
}

func (p *parser) file(name string) error {
	token, err := p.token()
	executable := token == "executable"
	if err == nil && executable {
		if err = p.expect(""); err == nil {
			token, err = p.token()
		}
	}
	if err != nil {
		return err
	}
	if token != "contents" {
		return p.bad("expected %q, found %q", "contents", token)
	}
	size, err := p.length()
	if err != nil {
		return err
	}
	if size > 1<<63-1 {
		return p.bad("a file of %d bytes", size)
	}
	p.body = contents{p: p, left: size}
	if err := p.sink.File(name, executable, size, &p.body); err != nil {
		return err
	}
	if p.body.left > 0 {
		return p.bad("a file was not read to its end")
	}
	if err := p.padding(size); err != nil {
		return err
	}
	return p.expect(")")
}

func (p *parser) directory(name string, depth int) error {
	if err := p.sink.Directory(name); err != nil {
		return err
	}
	previous := ""
	for {
		token, err := p.token()
		if err != nil {
			return err
		}
		if token == ")" {
			return p.sink.Up()
		}
		if token != "entry" {
			return p.bad("expected %q, found %q", "entry", token)
		}
		if previous, err = p.entry(previous, depth); err != nil {
			return err
		}
	}
}

func (p *parser) entry(previous string, depth int) (string, error) {
	if err := p.expectAll("(", "name"); err != nil {
		return "", err
	}
	name, err := p.string(maxName, "a name")
	switch {
	case err != nil:
		return "", err
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return "", p.bad("invalid file name %q", name)
	case previous != "" && name <= previous:
		return "", p.bad("name %q comes after %q: names are not in order", name, previous)
	}
	if err := p.expect("node"); err != nil {
		return "", err
	}
	if err := p.node(name, depth+1); err != nil {
		return "", err
	}
	return name, p.expect(")")
}
