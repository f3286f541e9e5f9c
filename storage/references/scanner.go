// Package references finds which store paths a stream of bytes names, and puts
// outputs in the order of their references. It knows nothing of files.
package references

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"troupe/storage/beside"
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
	more   func() ([]string, error) // nil where there are no others, or they are among wanted
	err    error                    // of more
	index  map[[width]byte]int      // place in wanted
	filter []uint64                 // a bit for the hash of each part; the length is a power of two
	found  []bool
	tail   []byte // the last bytes written, fewer than a part
}

// NewScanner makes a scanner for hash parts, each of 32 characters. Where these are
// only those that are likely to come, more has all others: it is called at most once,
// for the first thing that looks like a part and is none of them.
func NewScanner(parts []string, more func() ([]string, error)) *Scanner {
	s := &Scanner{more: more, index: make(map[[width]byte]int, len(parts)), tail: make([]byte, 0, 2*width)}
	s.want(parts)
	return s
}

// A filter is small where there are few parts: most builds have few inputs, and
// leave little to be searched.
const (
	fewParts    = 64
	smallFilter = 1 << 6  // words
	largeFilter = 1 << 12 // 32 KiB, what a processor has at hand
)

// want adds parts to those that are searched for.
func (s *Scanner) want(parts []string) {
	for _, p := range parts {
		key := [width]byte([]byte(p))
		if _, twice := s.index[key]; !twice {
			s.index[key] = len(s.wanted)
			s.wanted = append(s.wanted, p)
		}
	}
	s.found = append(s.found, make([]bool, len(s.wanted)-len(s.found))...)
	size := smallFilter
	if len(s.wanted) > fewParts {
		size = largeFilter
	}
	s.filter = make([]uint64, size)
	for key := range s.index {
		bucket := s.bucketOf(key[:])
		s.filter[bucket>>6] |= 1 << (bucket & 63)
	}
}

// bucketOf spreads the first eight characters over the filter.
func (s *Scanner) bucketOf(window []byte) uint32 {
	return uint32(binary.LittleEndian.Uint64(window)*0x9e3779b97f4a7c15>>46) & uint32(len(s.filter)<<6-1)
}

// Write implements [io.Writer]; it fails where more parts could not be had.
func (s *Scanner) Write(b []byte) (int, error) {
	s.search(b)
	return len(b), s.err
}

func (s *Scanner) search(b []byte) {
	if len(s.index) == 0 && s.more == nil {
		return
	}
	if len(s.tail) > 0 {
		// What begins in the tail ends within the first bytes of b.
		head := append(s.tail, b[:min(len(b), width-1)]...)
		s.scan(head)
		if len(b) < width-1 {
			s.tail = append(s.tail[:0], head[max(0, len(head)-(width-1)):]...)
			return
		}
	}
	s.scan(b)
	s.tail = append(s.tail[:0], b[max(0, len(b)-(width-1)):]...)
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
	if s.find(window) || s.more == nil {
		return
	}
	parts, err := s.more()
	s.more, s.err = nil, err
	s.want(parts)
	s.find(window)
}

// find reports whether a window is a part that is searched for.
func (s *Scanner) find(window []byte) bool {
	bucket := s.bucketOf(window)
	if s.filter[bucket>>6]&(1<<(bucket&63)) == 0 {
		return false
	}
	i, ok := s.index[[width]byte(window)]
	if ok {
		s.found[i] = true
	}
	return ok
}

// Found lists the parts that came, in the order in which they were given, each once.
func (s *Scanner) Found() (parts []string) {
	for i, f := range s.found {
		if f {
			parts = append(parts, s.wanted[i])
		}
	}
	return parts
}

// Hashing is a scanner that also takes the SHA-256 and the size of what is written. It is
// closed, also after an error; then it has the hash.
type Hashing struct {
	*Scanner
	*beside.Writer
	hash hash.Hash
}

// NewHashing makes a hashing scanner; see [NewScanner].
func NewHashing(parts []string, more func() ([]string, error)) *Hashing {
	h := &Hashing{Scanner: NewScanner(parts, more), hash: sha256.New()}
	h.Writer = beside.NewWriter(h.Scanner, h.hash)
	return h
}

// Write implements [io.Writer]; it fails as the scanner does.
func (h *Hashing) Write(b []byte) (int, error) { return h.Writer.Write(b) }

// Sum is the hash of what was written, when that is closed.
func (h *Hashing) Sum() nixhash.Hash { return nixhash.Finish(nixhash.SHA256, h.hash) }
