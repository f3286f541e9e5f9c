// Package nixhash holds the hashes of Nix and their ways to be written.
package nixhash

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"lukechampine.com/blake3"
)

// Algorithm is a hash function; the zero value is none.
type Algorithm uint8

const (
	MD5 Algorithm = iota + 1
	SHA1
	SHA256
	SHA512
	BLAKE3
)

var algorithms = [...]struct {
	name string
	size int // bytes
	make func() hash.Hash
}{
	MD5:    {"md5", md5.Size, md5.New},
	SHA1:   {"sha1", sha1.Size, sha1.New},
	SHA256: {"sha256", sha256.Size, sha256.New},
	SHA512: {"sha512", sha512.Size, sha512.New},
	BLAKE3: {"blake3", 32, func() hash.Hash { return blake3.New(32, nil) }},
}

// ParseAlgorithm reads a name as Nix writes it, for instance "sha256".
func ParseAlgorithm(s string) (Algorithm, error) {
	for a := MD5; a <= BLAKE3; a++ {
		if algorithms[a].name == s {
			return a, nil
		}
	}
	return 0, fmt.Errorf("unknown hash algorithm '%s', expect 'blake3', 'md5', 'sha1', 'sha256', or 'sha512'", s)
}

func (a Algorithm) String() string { return algorithms[a].name }

// Size is the length of a digest in bytes.
func (a Algorithm) Size() int { return algorithms[a].size }

// New starts a computation.
func (a Algorithm) New() hash.Hash { return algorithms[a].make() }

// Hash is a digest and its algorithm. It is comparable; the zero value is none.
type Hash struct {
	algorithm Algorithm
	digest    [64]byte
}

// FromBytes makes a hash of a digest.
func FromBytes(a Algorithm, digest []byte) (Hash, error) {
	if len(digest) != a.Size() {
		return Hash{}, fmt.Errorf("make %v hash: %d bytes instead of %d", a, len(digest), a.Size())
	}
	h := Hash{algorithm: a}
	copy(h.digest[:], digest)
	return h, nil
}

// Sum hashes data.
func Sum(a Algorithm, data []byte) Hash {
	w := a.New()
	w.Write(data)
	return Finish(a, w)
}

// Finish is the hash of what was written to a computation of [Algorithm.New].
func Finish(a Algorithm, w hash.Hash) Hash {
	h := Hash{algorithm: a}
	w.Sum(h.digest[:0])
	return h
}

func (h Hash) Algorithm() Algorithm { return h.algorithm }
func (h Hash) IsZero() bool         { return h.algorithm == 0 }
func (h Hash) Bytes() []byte        { return bytes.Clone(h.digest[:h.algorithm.Size()]) }
func (h Hash) Base16() string       { return hex.EncodeToString(h.Bytes()) }
func (h Hash) Base32() string       { return EncodeBase32(h.Bytes()) }
func (h Hash) Base64() string       { return base64.StdEncoding.EncodeToString(h.Bytes()) }

// SRI is the form of subresource integrity, for instance "sha256-…=".
func (h Hash) SRI() string { return h.algorithm.String() + "-" + h.Base64() }

// String is the form of a narinfo, for instance "sha256:" and base 32.
func (h Hash) String() string {
	if h.IsZero() {
		return ""
	}
	return h.algorithm.String() + ":" + h.Base32()
}

// MarshalText writes [Hash.String].
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what [Parse] reads; nothing is the zero hash.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*h = Hash{}
		return nil
	}
	parsed, err := Parse(string(b), 0)
	*h = parsed
	return err
}

// Parse reads "algorithm:digest", SRI, or, where the algorithm is known, a bare
// digest. A digest is in base 16, 32 or 64, told apart by its length.
func Parse(s string, want Algorithm) (Hash, error) {
	name, digest, named := strings.Cut(s, ":")
	sri := false
	if !named {
		name, digest, sri = strings.Cut(s, "-")
	}
	a := want
	if named || sri {
		var err error
		if a, err = ParseAlgorithm(name); err != nil {
			return Hash{}, fmt.Errorf("parse hash %q: %w", s, err)
		}
		if want != 0 && a != want {
			return Hash{}, fmt.Errorf("parse hash %q: should have type '%v'", s, want)
		}
	} else {
		digest = s
	}
	if a == 0 {
		return Hash{}, fmt.Errorf("parse hash %q: does not include a type, nor is the type otherwise known from context", s)
	}
	b, err := decodeDigest(digest, a, sri)
	if err != nil {
		return Hash{}, fmt.Errorf("parse hash %q: %w", s, err)
	}
	return FromBytes(a, b)
}

func decodeDigest(d string, a Algorithm, sri bool) ([]byte, error) {
	switch n := a.Size(); {
	case !sri && len(d) == hex.EncodedLen(n):
		return hex.DecodeString(d)
	case !sri && len(d) == base32Len(n):
		return DecodeBase32(d)
	case len(d) == base64.StdEncoding.EncodedLen(n):
		return base64.StdEncoding.Strict().DecodeString(d)
	}
	return nil, fmt.Errorf("wrong length for algorithm '%v'", a)
}
