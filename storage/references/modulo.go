package references

import (
	"bytes"
	"fmt"
	"hash"

	"troupe/storage/nixhash"
)

// Modulo hashes an archive up to one hash part, that of its own path: each
// occurrence counts as zero bytes. So a path can be named after contents in which
// its name is. Nix up to 2.15 hashed after the end "|" and the offset of each, in
// decimal, which later ones forget: one archive can have either name.
type Modulo struct {
	part      []byte
	algorithm nixhash.Algorithm
	hash      hash.Hash
	held      []byte   // the end of what was written, in which a part may begin
	at        uint64   // offset of held
	found     []uint64 // offsets
}

// NewModulo starts a hash up to part.
func NewModulo(a nixhash.Algorithm, part string) *Modulo {
	return &Modulo{part: []byte(part), algorithm: a, hash: a.New()}
}

// Write never fails.
func (m *Modulo) Write(b []byte) (int, error) {
	m.held = append(m.held, b...)
	for from := 0; ; {
		i := bytes.Index(m.held[from:], m.part)
		if i < 0 {
			break
		}
		from += i
		m.found = append(m.found, m.at+uint64(from))
		clear(m.held[from : from+len(m.part)])
	}
	if done := len(m.held) - len(m.part) + 1; done > 0 {
		m.hash.Write(m.held[:done])
		m.held = append(m.held[:0], m.held[done:]...)
		m.at += uint64(done)
	}
	return len(b), nil
}

// Sums ends the hash: without offsets, as of Nix 2.16, and with them.
func (m *Modulo) Sums() (plain, offsets nixhash.Hash) {
	m.hash.Write(m.held)
	plain = nixhash.Finish(m.algorithm, m.hash)
	for _, at := range m.found {
		fmt.Fprintf(m.hash, "|%d", at)
	}
	return plain, nixhash.Finish(m.algorithm, m.hash)
}
