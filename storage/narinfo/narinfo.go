// Package narinfo reads and writes what a binary cache says of one store path: where its NAR lies, how it is packed,
// and what it holds. It knows neither caches nor signatures.
package narinfo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// Suffix ends the name of a file, after the path's hash part.
const Suffix = ".narinfo"

// FileName is where a cache has what it says of a path.
func FileName(p storepath.Path) string { return p.HashPart() + Suffix }

// Info is what a file says.
type Info struct {
	Path        storepath.Path
	URL         string           // of the packed NAR, relative to the cache
	Compression string           // "none", "xz", …; never empty
	FileHash    nixhash.Hash     // of the packed NAR; zero where unknown
	FileSize    uint64           // of the packed NAR, bytes; 0 where unknown
	NarHash     nixhash.Hash     // SHA-256 of the NAR
	NarSize     uint64           // of the NAR, bytes
	References  []storepath.Path // sorted, without repeats; may have Path itself
	Deriver     storepath.Path   // zero where unknown
	System      string           // that it was built for; "" where unknown
	Signatures  []string         // "<key name>:<base 64>", sorted, without repeats
	CA          string           // content address as Nix writes it; "" for none
}

// Print writes a file as Nix does.
func (i Info) Print(dir storepath.Dir) []byte {
	b := make([]byte, 0, 512)
	field := func(key, value string) {
		b = append(append(append(append(b, key...), ": "...), value...), '\n')
	}
	optional := func(key, value string) {
		if value != "" {
			field(key, value)
		}
	}
	field("StorePath", dir.Join(i.Path))
	field("URL", i.URL)
	field("Compression", i.Compression)
	optional("FileHash", i.FileHash.String())
	if i.FileSize != 0 {
		field("FileSize", strconv.FormatUint(i.FileSize, 10))
	}
	field("NarHash", i.NarHash.String())
	field("NarSize", strconv.FormatUint(i.NarSize, 10))
	bases := make([]string, 0, len(i.References))
	for _, r := range i.References {
		bases = append(bases, r.Base())
	}
	field("References", strings.Join(set(bases), " "))
	optional("Deriver", i.Deriver.Base())
	optional("System", i.System)
	for _, s := range set(slices.Clone(i.Signatures)) {
		field("Sig", s)
	}
	optional("CA", i.CA)
	return b
}

// set sorts a slice in place and drops repeats.
func set(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}

// Fingerprint is the text that signatures of a path are over.
func (i Info) Fingerprint(dir storepath.Dir) string {
	refs := make([]string, 0, len(i.References))
	for _, r := range i.References {
		refs = append(refs, dir.Join(r))
	}
	return fmt.Sprintf("1;%s;%v;%d;%s", dir.Join(i.Path), i.NarHash, i.NarSize, strings.Join(set(refs), ","))
}
