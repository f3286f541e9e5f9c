// Package export reads and writes the stream of nix-store --export: store paths
// with their archives, one after another, references first. All numbers are of
// eight bytes, little-endian; strings have their length before them and zeros
// up to a multiple of eight bytes behind. For each path:
//
//	1
//	archive
//	0x4558494e
//	path, number of references, each reference, deriver or an empty string
//	0, or 1 and a signature that nobody reads any more
//
// and 0 at the end. The record says nothing of hash and size; whoever reads
// hashes the archive.
package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"troupe/storage/storepath"
)

const (
	magic         = 0x4558494e
	maxString     = 4096    // bytes of a store path
	maxSignature  = 1 << 16 // bytes
	maxReferences = 1 << 18 // of one path
)

// Record is what is said of one path.
type Record struct {
	Path       storepath.Path
	References []storepath.Path // sorted
	Deriver    storepath.Path   // zero where unknown
}

// SyntaxError is a stream that is no export.
type SyntaxError struct{ Reason string }

func (e *SyntaxError) Error() string { return "bad export: " + e.Reason }

// Begin reads whether another archive follows.
func Begin(r io.Reader) (bool, error) {
	n, err := integer(r)
	if err == nil && n > 1 {
		err = &SyntaxError{"input doesn't look like something created by 'nix-store --export'"}
	}
	return n == 1, err
}

// ReadRecord reads what follows an archive.
func ReadRecord(r io.Reader, dir storepath.Dir) (Record, error) {
	var rec Record
	n, err := integer(r)
	if err == nil && n != magic {
		err = &SyntaxError{"Nix archive cannot be imported; wrong format"}
	}
	if err != nil {
		return rec, err
	}
	if rec.Path, err = path(r, dir, false); err != nil {
		return rec, err
	}
	count, err := integer(r)
	if err != nil {
		return rec, err
	}
	if count > maxReferences {
		return rec, &SyntaxError{fmt.Sprintf("%d references", count)}
	}
	for range count { // which may lie: nothing is made before it is there
		ref, err := path(r, dir, false)
		if err != nil {
			return rec, err
		}
		rec.References = append(rec.References, ref)
	}
	slices.SortFunc(rec.References, storepath.Path.Compare)
	rec.References = slices.Compact(rec.References)
	if rec.Deriver, err = path(r, dir, true); err != nil {
		return rec, err
	}
	return rec, signature(r)
}

func signature(r io.Reader) error {
	signed, err := integer(r)
	if err == nil && signed == 1 {
		_, err = text(r, maxSignature)
	}
	return err
}

func path(r io.Reader, dir storepath.Dir, mayLack bool) (storepath.Path, error) {
	s, err := text(r, maxString)
	if err != nil || mayLack && s == "" {
		return storepath.Path{}, err
	}
	p, err := dir.Parse(s)
	if err != nil {
		err = &SyntaxError{err.Error()}
	}
	return p, err
}

func integer(r io.Reader) (uint64, error) {
	var b [8]byte
	err := full(r, b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}

func text(r io.Reader, limit uint64) (string, error) {
	n, err := integer(r)
	if err != nil {
		return "", err
	}
	if n > limit {
		return "", &SyntaxError{fmt.Sprintf("a string of %d bytes", n)}
	}
	b := make([]byte, (n+7)&^7)
	if err := full(r, b); err != nil {
		return "", err
	}
	for _, pad := range b[n:] {
		if pad != 0 {
			return "", &SyntaxError{"the padding is not zero"}
		}
	}
	return string(b[:n]), nil
}

func full(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &SyntaxError{"it is cut short"}
	}
	return err
}
