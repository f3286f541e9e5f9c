package remote

import (
	"bytes"
	"context"
	"io"
	"os"

	"troupe/actors/ports/remotestore"
	"troupe/messages/workerproto"
	"troupe/storage/addition"
	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Adder adds to the daemon's store. Derivations are sent at [Adder.Commit], many
// at a time: until then only the Adder takes them for valid.
type Adder struct {
	ctx     context.Context // of the command that adds
	c       *Client
	records *Records
	modulo  *addition.Modulos
	there   map[storepath.Path]bool // what the daemon has said is valid
	waiting []waiting
	will    map[storepath.Path]*derivation.Derivation // those that wait
	hashes  map[storepath.Path]derivation.ModuloHash  // of those, as far as asked for
}

// waiting is a derivation that is to be sent.
type waiting struct {
	info validity.Info
	text []byte
}

// Adder adds for as long as ctx lasts. The files of the store are at l.
func (c *Client) Adder(ctx context.Context, l localstore.Layout) *Adder {
	a := &Adder{ctx: ctx, c: c, records: c.Records(ctx), there: map[storepath.Path]bool{},
		will: map[storepath.Path]*derivation.Derivation{}, hashes: map[storepath.Path]derivation.ModuloHash{}}
	a.modulo = &addition.Modulos{Layout: l, Valid: a.known}
	return a
}

// known asks the daemon once for a path that is valid.
func (a *Adder) known(p storepath.Path) (bool, error) {
	if a.there[p] {
		return true, nil
	}
	valid, err := a.records.Valid(p)
	if valid {
		a.there[p] = true
	}
	return valid, err
}

// Valid says whether a path is valid, or will be.
func (a *Adder) Valid(p storepath.Path) (bool, error) {
	if a.will[p] != nil {
		return true, nil
	}
	return a.records.Valid(p)
}

// Modulo is the hash modulo of a derivation that is valid, or will be.
func (a *Adder) Modulo(p storepath.Path) (derivation.ModuloHash, error) {
	d := a.will[p]
	if d == nil {
		return a.modulo.Of(p)
	}
	h, ok := a.hashes[p]
	if ok {
		return h, nil
	}
	h, err := d.Modulo(a.c.Dir, a.Modulo)
	if err == nil {
		a.hashes[p] = h
	}
	return h, err
}

// Derivation implements [addition.Into]. The daemon checks it when it comes.
func (a *Adder) Derivation(_ context.Context, d *derivation.Derivation) (storepath.Path, error) {
	p, err := d.Path(a.c.Dir)
	if err != nil || a.will[p] != nil {
		return p, err
	}
	text := d.Print(a.c.Dir)
	archive, err := archiveOf(text)
	if err != nil {
		return p, err
	}
	ca := storepath.ContentAddress{Method: storepath.Text, Hash: nixhash.Sum(nixhash.SHA256, text)}
	a.waiting = append(a.waiting, waiting{text: text, info: validity.Info{Path: p, References: d.Refs(), CA: ca.String(),
		NarHash: nixhash.Sum(nixhash.SHA256, archive), NarSize: uint64(len(archive))}})
	a.will[p] = d
	return p, nil
}

func archiveOf(text []byte) ([]byte, error) {
	var b bytes.Buffer
	err := nar.DumpFile(&b, text)
	return b.Bytes(), err
}

// Source implements [addition.Into].
func (a *Adder) Source(ctx context.Context, p storepath.Path, file string, ca storepath.ContentAddress) error {
	_, err := a.add(ctx, p.Name(), file, ca.Method)
	return err
}

// Tree adds a copy of a file or directory by the hash of its archive.
func (a *Adder) Tree(ctx context.Context, file, name string) (storepath.Path, error) {
	return a.add(ctx, name, file, storepath.NAR)
}

func (a *Adder) add(ctx context.Context, name, file string, m storepath.Method) (storepath.Path, error) {
	reply, err := remotestore.Send[*workerproto.AddedPath](ctx, a.c.Conn, &workerproto.AddToStore{Name: name, Method: m, Algorithm: nixhash.SHA256},
		func(w io.Writer) error {
			if m == storepath.NAR {
				return nar.Dump(w, file)
			}
			data, err := os.ReadFile(file)
			if err == nil {
				_, err = w.Write(data)
			}
			return err
		})
	if err != nil {
		return storepath.Path{}, err
	}
	return reply.Info.Path, nil
}

// Commit sends what waits. The daemon says that it is done when all is durable.
func (a *Adder) Commit(ctx context.Context, _ ...storepath.Path) error {
	if len(a.waiting) == 0 {
		return nil
	}
	var objects []remotestore.Object
	for _, d := range a.waiting {
		objects = append(objects, remotestore.Object{Info: d.info, Archive: func(w io.Writer) error { return nar.DumpFile(w, d.text) }})
	}
	err := a.c.Add(ctx, remotestore.Terms{}, objects...)
	a.waiting = nil
	clear(a.will)
	clear(a.hashes)
	return err
}
