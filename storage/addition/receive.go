package addition

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"troupe/storage/beside"
	"troupe/storage/descriptor"
	"troupe/storage/localstore"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Object is what is added by its contents.
type Object struct {
	Name       string
	Method     storepath.Method
	Algorithm  nixhash.Algorithm
	References []storepath.Path // only of texts and SHA-256 archives
	Repair     bool             // put it there anew also where it is valid
}

// Add adds what r holds: the bytes of one file to the end of r for the flat and
// the text method, an archive for the others, and nothing is read after that.
// Names and references are checked before anything is read. After an error r is
// anywhere. Many small reads are made of r.
func (a *Adder) Add(ctx context.Context, o Object, r io.Reader) (p storepath.Path, err error) {
	dir := a.Layout.Dir
	if _, err := dir.MakeFixed(o.Name, o.Method, nixhash.Sum(o.Algorithm, nil), o.References, false); err != nil {
		return storepath.Path{}, err
	}
	var h held
	defer h.release()
	p, stays, err := a.already(&h, o, untilDone{ctx, r})
	if err != nil {
		return storepath.Path{}, fmt.Errorf("add '%s': %w", o.Name, err)
	}
	if stays {
		return p, nil
	}
	all := io.MultiReader(&h, r)
	err = a.staged(func(place string) error {
		got, err := receive(ctx, place, o.Method, o.Algorithm, all)
		if err != nil {
			return fmt.Errorf("add '%s': %w", o.Name, err)
		}
		if p, err = dir.MakeFixed(o.Name, o.Method, got.own, o.References, false); err != nil {
			return err
		}
		ca := storepath.ContentAddress{Method: o.Method, Hash: got.own}
		return a.settle(ctx, place, validity.Info{Path: p, References: o.References, CA: ca.String(),
			NarHash: got.narHash, NarSize: got.narSize}, o.Repair)
	})
	if err != nil {
		return storepath.Path{}, err
	}
	return p, nil
}

// already reads an object, as far as it is held in memory, and looks whether its path
// is valid and to stay as it is.
func (a *Adder) already(h *held, o Object, r io.Reader) (p storepath.Path, stays bool, err error) {
	whole, err := h.fill(o.Method, r)
	if err != nil || !whole || o.Repair || o.Method == storepath.Git { // it hashes what is on disk
		return p, false, err
	}
	own := o.Algorithm.New()
	h.hash(own)
	if p, err = a.Layout.Dir.MakeFixed(o.Name, o.Method, nixhash.Finish(o.Algorithm, own), o.References, false); err != nil {
		return p, false, err
	}
	stays, err = a.there(p)
	return p, stays, err
}

// received is what the bytes that came hash to.
type received struct {
	own     nixhash.Hash // by the method
	narHash nixhash.Hash // zero for a bare file, whose archive begins with its size
	narSize uint64       // bytes
}

func receive(ctx context.Context, place string, m storepath.Method, algorithm nixhash.Algorithm, r io.Reader) (got received, err error) {
	if m == storepath.Flat || m == storepath.Text {
		if got.own, err = receiveFile(ctx, place, algorithm, r); err == nil {
			err = canonicalise(place)
		}
		return got, err
	}
	own := algorithm
	if m == storepath.Git || algorithm == nixhash.SHA256 {
		own = 0 // it is none of the bytes that come, or the archive's own
	}
	h, err := receiveArchive(ctx, place, own, r)
	if err != nil {
		return got, err
	}
	got.narHash, got.narSize = nixhash.Finish(nixhash.SHA256, h.sha256), h.Size()
	switch {
	case m == storepath.Git:
		got.own, err = localstore.HashTree(place, m, algorithm)
	case h.other != nil:
		got.own = nixhash.Finish(algorithm, h.other)
	default:
		got.own = got.narHash
	}
	return got, err
}

func receiveFile(ctx context.Context, place string, algorithm nixhash.Algorithm, r io.Reader) (nixhash.Hash, error) {
	f, err := os.OpenFile(place, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nixhash.Hash{}, err
	}
	h := algorithm.New()
	in := beside.NewReader(untilDone{ctx, r}, h)
	_, err = in.WriteTo(&writtenBack{File: f})
	in.Close()
	return nixhash.Finish(algorithm, h), errors.Join(err, f.Close())
}

// writtenBack is a file that the kernel begins to write to disk as it comes.
type writtenBack struct {
	*os.File
	descriptor.WriteBack
}

func (f *writtenBack) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.Behind(int(f.Fd()), n)
	return n, err
}

// receiveArchive restores an archive, with the metadata of the store, and hashes it as
// it comes; an archive has one form only, so that what came is what is there. With
// another algorithm it is hashed by that too.
func receiveArchive(ctx context.Context, place string, other nixhash.Algorithm, r io.Reader) (*hashing, error) {
	h := newHashing(untilDone{ctx, r}, other)
	defer h.Close()
	plain, err := nar.RestoreStored(h, place)
	if err == nil && !plain {
		err = canonicalise(place)
	}
	return h, err
}

// canonicalise gives what lies at a place, where nobody else can reach it, the
// metadata of the store.
func canonicalise(place string) error {
	return localstore.Canonicalise(place, localstore.Options{BuilderUID: -1})
}

// hashing hashes what is read through it, and has its sums when it is closed.
type hashing struct {
	*beside.Reader
	sha256 hash.Hash
	other  hash.Hash // nil where there is no other
}

func newHashing(r io.Reader, other nixhash.Algorithm) *hashing {
	h := &hashing{sha256: nixhash.SHA256.New()}
	to := io.Writer(h.sha256)
	if other != 0 {
		h.other = other.New()
		to = io.MultiWriter(h.sha256, h.other)
	}
	h.Reader = beside.NewReader(r, to)
	return h
}

// untilDone fails once its context has ended. A read that waits goes on
// waiting: whoever has the connection closes it.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(b []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(b)
}
