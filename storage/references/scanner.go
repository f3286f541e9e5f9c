// Package references finds which store paths a stream of bytes names, and puts
// outputs in the order of their references. It knows nothing of files.
package references

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"troupe/storage/nixhash"
)

// width is the length of a hash part, which is what is searched for.
const width = 32

// inAlphabet tells the characters of a hash part.
var inAlphabet = func() (t [256]bool) {
	for i := range len(nixhash.Alphabet) {
		t[nixhash.Alphabet[i]] = true
	}
	return t
}()

// Scanner searches what is written to it for hash parts. A part may lie across
// writes.
type Scanner struct {
	wanted []string
	index  map[[width]byte]int // place in wanted
	filter [1 << 12]uint64     // a bit for the hash of each part
	found  []bool
	tail   []byte // the last bytes written, fewer than a part
}

// NewScanner makes a scanner for hash parts, each of 32 characters.
func NewScanner(parts []string) *Scanner {
	s := &Scanner{wanted: parts, index: make(map[[width]byte]int, len(parts)), found: make([]bool, len(parts)), tail: make([]byte, 0, 2*width)}
	for i, p := range parts {
		key := [width]byte([]byte(p))
		s.index[key] = i
		bucket := bucketOf(key[:])
		s.filter[bucket>>6] |= 1 << (bucket & 63)
	}
	return s
}

// bucketOf spreads the first eight characters over the filter.
func bucketOf(window []byte) uint32 {
	return uint32(binary.LittleEndian.Uint64(window)*0x9e3779b97f4a7c15>>46) & (1<<18 - 1)
}

// Write implements [io.Writer]; it never fails.
func (s *Scanner) Write(b []byte) (int, error) {
	if len(s.index) == 0 {
		return len(b), nil
	}
	if len(s.tail) > 0 {
		// What begins in the tail ends within the first bytes of b.
		head := append(s.tail, b[:min(len(b), width-1)]...)
		s.scan(head)
		if len(b) < width-1 {
			s.tail = append(s.tail[:0], head[max(0, len(head)-(width-1)):]...)
			return len(b), nil
		}
	}
	s.scan(b)
	s.tail = append(s.tail[:0], b[max(0, len(b)-(width-1)):]...)
	return len(b), nil
}

// scan looks at every window of b. It looks at a window's last character first:
// one that no hash part has rules out all windows that hold it, so that most
// bytes of most files are never looked at.
func (s *Scanner) scan(b []byte) {
	for at := 0; at+width <= len(b); {
		bad := lastForeign(b[at : at+width])
		if bad >= 0 {
			at += bad + 1
			continue
		}
		// All characters are good. Slide by one while the next one is, too.
		for {
			s.look(b[at : at+width])
			at++
			if at+width > len(b) {
				return
			}
			if !inAlphabet[b[at+width-1]] {
				at += width
				break
			}
		}
	}
}

// lastForeign is the place of the last character that no hash part has, or -1.
func lastForeign(window []byte) int {
	for i := width - 1; i >= 0; i-- {
		if !inAlphabet[window[i]] {
			return i
		}
	}
	return -1
}

func (s *Scanner) look(window []byte) {
	bucket := bucketOf(window)
	if s.filter[bucket>>6]&(1<<(bucket&63)) == 0 {
		return
	}
	if i, ok := s.index[[width]byte(window)]; ok {
		s.found[i] = true
	}
}

// Found lists the parts that came, in the order in which they were given.
func (s *Scanner) Found() (parts []string) {
	for i, f := range s.found {
		if f {
			parts = append(parts, s.wanted[i])
		}
	}
	return parts
}

// Hashing is a scanner that also takes the SHA-256 and the size of what is
// written.
type Hashing struct {
	*Scanner
	hash hash.Hash
	size uint64
}

// NewHashing makes a hashing scanner.
func NewHashing(parts []string) *Hashing {
	return &Hashing{Scanner: NewScanner(parts), hash: sha256.New()}
}

// Write implements [io.Writer]; it never fails.
func (h *Hashing) Write(b []byte) (int, error) {
	h.hash.Write(b)
	h.size += uint64(len(b))
	return h.Scanner.Write(b)
}

// Sum is the hash of what was written.
func (h *Hashing) Sum() nixhash.Hash { return nixhash.Finish(nixhash.SHA256, h.hash) }

// Size is how many bytes were written.
func (h *Hashing) Size() uint64 { return h.size }
