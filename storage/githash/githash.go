// Package githash hashes files and directories as git names them: a file is a
// blob, a directory a tree. It is given them in an archive's order.
//
//	blob SIZE NUL contents
//	tree SIZE NUL entries, each: mode " " name NUL digest
//
// A symbolic link is a blob of its target. Entries are in the order of their
// names, where a directory's has "/" behind it. Unlike git, an empty directory
// is an entry too.
package githash

import (
	"bytes"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"troupe/storage/nixhash"
)

// Hasher is a nar.Sink. The memory it takes is that of the names in the
// directories that are open.
type Hasher struct {
	algorithm nixhash.Algorithm
	open      []directory
	top       nixhash.Hash
}

type directory struct {
	name    string
	entries []entry
}

type entry struct {
	mode, name string
	digest     []byte
}

const (
	regular    = "100644"
	executable = "100755"
	symlink    = "120000"
	tree       = "40000"
)

// New starts a hash by SHA-1 or SHA-256.
func New(a nixhash.Algorithm) *Hasher { return &Hasher{algorithm: a} }

// Sum is the hash once the top is done. Whether that is executable, or a link,
// does not count.
func (h *Hasher) Sum() nixhash.Hash { return h.top }

// Directory begins one.
func (h *Hasher) Directory(name string) error {
	h.open = append(h.open, directory{name: name})
	return nil
}

// Up ends a directory.
func (h *Hasher) Up() error {
	last := len(h.open) - 1
	d := h.open[last]
	h.open = h.open[:last]
	slices.SortFunc(d.entries, func(a, b entry) int { return strings.Compare(a.key(), b.key()) })
	var body bytes.Buffer
	for _, e := range d.entries {
		fmt.Fprintf(&body, "%s %s\x00%s", e.mode, e.name, e.digest)
	}
	w := h.begin("tree", uint64(body.Len()))
	w.Write(body.Bytes())
	h.add(tree, d.name, w)
	return nil
}

// key is what an entry is sorted by.
func (e entry) key() string {
	if e.mode == tree {
		return e.name + "/"
	}
	return e.name
}

// Symlink adds one.
func (h *Hasher) Symlink(name, target string) error {
	w := h.begin("blob", uint64(len(target)))
	io.WriteString(w, target)
	h.add(symlink, name, w)
	return nil
}

// File adds one.
func (h *Hasher) File(name string, runs bool, size uint64, contents io.Reader) error {
	w := h.begin("blob", size)
	if _, err := io.Copy(w, contents); err != nil {
		return err
	}
	mode := regular
	if runs {
		mode = executable
	}
	h.add(mode, name, w)
	return nil
}

func (h *Hasher) begin(kind string, size uint64) hash.Hash {
	w := h.algorithm.New()
	fmt.Fprintf(w, "%s %d\x00", kind, size)
	return w
}

func (h *Hasher) add(mode, name string, w hash.Hash) {
	if len(h.open) == 0 {
		h.top = nixhash.Finish(h.algorithm, w)
		return
	}
	d := &h.open[len(h.open)-1]
	d.entries = append(d.entries, entry{mode, name, w.Sum(nil)})
}
