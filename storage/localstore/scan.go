package localstore

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"troupe/storage/beside"
	"troupe/storage/githash"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/references"
	"troupe/storage/storepath"
)

// Scanned is what one pass over a tree teaches.
type Scanned struct {
	NarHash    nixhash.Hash
	NarSize    uint64           // bytes
	References []storepath.Path // sorted
}

// Scan hashes a tree's archive and finds which candidates it refers to, in one
// pass.
func Scan(real string, candidates []storepath.Path) (Scanned, error) {
	s := newScan(candidates, nil)
	defer s.Close()
	if err := nar.Dump(s, real); err != nil {
		return Scanned{}, err
	}
	return s.scanned(), nil
}

// UnfitError says that what a builder has left is no store object.
type UnfitError struct{ error }

// Unwrap gives the reason.
func (e *UnfitError) Unwrap() error { return e.error }

// Take is [Canonicalise] and then [Scan] of what a builder has left, in one pass: each
// file is opened once. Only the likely candidates are at hand. More, which may be nil, has
// all others; it is called at most once, where something in the tree may be one of them.
// The error is an [*UnfitError] where Canonicalise fails.
func Take(real string, o Options, likely []storepath.Path, more func() ([]storepath.Path, error)) (Scanned, error) {
	s := newScan(likely, more)
	defer s.Close()
	c := canonicaliser{Options: o, archive: nar.NewWriter(s)}
	err := canonicalise(real, &c)
	switch failed := c.archive.Close(); {
	case err != nil && c.unread == nil:
		return Scanned{}, &UnfitError{err}
	case err != nil || failed != nil:
		return Scanned{}, fmt.Errorf("scan '%s': %w", real, cmp.Or(err, failed))
	}
	return s.scanned(), nil
}

// scan hashes and searches an archive.
type scan struct {
	*references.Hashing
	byPart map[string]storepath.Path
}

func newScan(likely []storepath.Path, more func() ([]storepath.Path, error)) scan {
	byPart := map[string]storepath.Path{}
	var rest func() ([]string, error)
	if more != nil {
		rest = func() ([]string, error) {
			others, err := more()
			return partsOf(others, byPart), err
		}
	}
	return scan{references.NewHashing(partsOf(likely, byPart), rest), byPart}
}

func (s scan) scanned() Scanned {
	s.Close()
	found := Scanned{NarHash: s.Sum(), NarSize: s.Size()}
	for _, p := range s.Found() {
		found.References = append(found.References, s.byPart[p])
	}
	slices.SortFunc(found.References, storepath.Path.Compare)
	return found
}

// partsOf lists the hash parts of paths, and notes whose they are: the first one's.
func partsOf(paths []storepath.Path, byPart map[string]storepath.Path) []string {
	parts := make([]string, 0, len(paths))
	for _, p := range paths {
		if _, twice := byPart[p.HashPart()]; !twice {
			byPart[p.HashPart()] = p
			parts = append(parts, p.HashPart())
		}
	}
	return parts
}

// HashTree hashes a tree as a content-addressed path is hashed. Flat and text
// need a regular file that is not executable; the words are Nix's.
func HashTree(real string, m storepath.Method, a nixhash.Algorithm) (nixhash.Hash, error) {
	if m == storepath.Git {
		return hashGit(real, a)
	}
	h := a.New()
	err := serialise(h, real, m)
	return nixhash.Finish(a, h), err
}

// HashTreeModulo is HashTree for a tree that may have the hash part of its own
// path in it: that counts as zero bytes, as of Nix 2.16. In a git tree it counts as
// it is.
func HashTreeModulo(real string, m storepath.Method, a nixhash.Algorithm, part string) (nixhash.Hash, error) {
	if m == storepath.Git {
		return hashGit(real, a)
	}
	w := references.NewModulo(a, part)
	err := serialise(w, real, m)
	h, _ := w.Sums()
	return h, err
}

// serialise gives a hash what is hashed of a tree.
func serialise(h io.Writer, real string, m storepath.Method) error {
	if m == storepath.NAR {
		return nar.Hash(context.Background(), h, real)
	}
	return hashFile(h, real)
}

func hashGit(real string, a nixhash.Algorithm) (nixhash.Hash, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(nar.Dump(w, real)) }()
	h := githash.New(a)
	err := nar.Parse(r, h)
	r.CloseWithError(err)
	return h.Sum(), err
}

func hashFile(h io.Writer, real string) error {
	f, err := os.OpenFile(real, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err == nil {
		defer f.Close()
		var st os.FileInfo
		if st, err = f.Stat(); err == nil && st.Mode().IsRegular() && st.Mode()&0o100 == 0 {
			return beside.Copy(h, f)
		}
	}
	if err != nil && !isLinkError(err) {
		return err
	}
	return fmt.Errorf("output path '%s' should be a non-executable regular file since recursive hashing is not enabled (one of outputHashMode={flat,text} is true)", real)
}

func isLinkError(err error) bool {
	pe, ok := err.(*os.PathError)
	return ok && pe.Err == unix.ELOOP
}
