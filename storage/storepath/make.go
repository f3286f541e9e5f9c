package storepath

import (
	"fmt"
	"slices"
	"strings"

	"troupe/storage/nixhash"
)

// Method is how the contents of a fixed path are hashed.
type Method uint8

const (
	Flat Method = iota // the bytes of one file
	NAR                // the archive; "recursive"
	Text               // the bytes of one file that may have references
	Git                // a git tree or blob
)

// Prefix is what Nix writes before the algorithm, for instance "r:".
func (m Method) Prefix() string { return [...]string{"", "r:", "text:", "git:"}[m] }

func (m Method) String() string { return [...]string{"flat", "nar", "text", "git"}[m] }

// Make computes a store path from the kind of object, for instance "source" or
// "output:out", and the hash of what identifies it.
func (d Dir) Make(kind string, inner nixhash.Hash, name string) (Path, error) {
	if err := CheckName(name); err != nil {
		return Path{}, err
	}
	print := fmt.Sprintf("%s:%v:%s:%s:%s", kind, inner.Algorithm(), inner.Base16(), d, name)
	sum := nixhash.Sum(nixhash.SHA256, []byte(print))
	return Path{HashPartOf(sum) + "-" + name}, nil
}

// HashPartOf is a digest, compressed to the length of a hash part, as it is
// written in one.
func HashPartOf(h nixhash.Hash) string { return nixhash.EncodeBase32(fold(h.Bytes())) }

// fold compresses a digest to the length of a hash part by xor.
func fold(digest []byte) []byte {
	out := make([]byte, hashBytes)
	for i, b := range digest {
		out[i%hashBytes] ^= b
	}
	return out
}

// MakeText is the path of a file with the given SHA-256 that refers to refs:
// a derivation, for instance.
func (d Dir) MakeText(name string, sha256 nixhash.Hash, refs []Path) (Path, error) {
	return d.Make(d.kind("text", refs, false), sha256, name)
}

// MakeFixed is the path of an object whose contents are known by their hash.
// Only SHA-256 archives may have references, to themselves too.
func (d Dir) MakeFixed(name string, m Method, h nixhash.Hash, refs []Path, self bool) (Path, error) {
	switch {
	case m == Text:
		if h.Algorithm() != nixhash.SHA256 || self {
			return Path{}, fmt.Errorf("make text path '%s': it needs a sha256 hash and no reference to itself", name)
		}
		return d.MakeText(name, h, refs)
	case m == NAR && h.Algorithm() == nixhash.SHA256:
		return d.Make(d.kind("source", refs, self), h, name)
	case len(refs) > 0 || self:
		return Path{}, fmt.Errorf("make fixed path '%s': a %v %v object cannot have references", name, m, h.Algorithm())
	case m == Git && h.Algorithm() != nixhash.SHA1 && h.Algorithm() != nixhash.SHA256:
		return Path{}, fmt.Errorf("make fixed path '%s': a git object needs sha1 or sha256", name)
	}
	inner := fmt.Sprintf("fixed:out:%s%v:%s:", m.Prefix(), h.Algorithm(), h.Base16())
	return d.Make("output:out", nixhash.Sum(nixhash.SHA256, []byte(inner)), name)
}

func (d Dir) kind(kind string, refs []Path, self bool) string {
	var b strings.Builder
	b.WriteString(kind)
	sorted := slices.SortedFunc(slices.Values(refs), Path.Compare)
	for _, r := range slices.Compact(sorted) {
		b.WriteString(":" + d.Join(r))
	}
	if self {
		b.WriteString(":self")
	}
	return b.String()
}
