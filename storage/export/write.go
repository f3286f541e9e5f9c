package export

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	"troupe/storage/beside"
	"troupe/storage/localstore"
	"troupe/storage/nar"
	"troupe/storage/nixhash"
	"troupe/storage/references"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// ChangedError is a path in the store that is not what it was. The words are
// Nix's.
type ChangedError struct {
	Path      string
	Want, Got nixhash.Hash
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("hash of path '%s' has changed from '%v' to '%v'!", e.Path, e.Want, e.Got)
}

// Records are what is known of valid paths.
type Records interface {
	Get(storepath.Path) (validity.Info, bool, error)
}

// Write writes valid paths and no others. It is a [*validity.NotValidError] when
// one is not valid. What was changed in the store is found out when it has been
// written: it is a [*ChangedError], and the stream is without its end.
func Write(ctx context.Context, w io.Writer, l localstore.Layout, records Records, paths []storepath.Path) error {
	infos, err := sorted(records, paths)
	if err != nil {
		return err
	}
	out := &writer{ctx: ctx, w: w}
	for _, i := range infos {
		out.integer(1)
		if err := out.archive(l, i); err != nil {
			return err
		}
		out.record(l.Dir, i)
	}
	out.integer(0)
	return out.err
}

// sorted puts paths after those that they refer to.
func sorted(records Records, paths []storepath.Path) ([]validity.Info, error) {
	infos := map[string]validity.Info{} // by base name
	for _, p := range paths {
		i, ok, err := records.Get(p)
		if err == nil && !ok {
			err = &validity.NotValidError{Path: p}
		}
		if err != nil {
			return nil, err
		}
		infos[p.Base()] = i
	}
	order, err := references.Sort(slices.Collect(maps.Keys(infos)), func(name string) (to []string) {
		for _, r := range infos[name].References {
			to = append(to, r.Base())
		}
		return to
	})
	list := make([]validity.Info, len(order))
	for n, name := range order {
		list[n] = infos[name]
	}
	return list, err
}

// writer keeps the first error.
type writer struct {
	ctx context.Context
	w   io.Writer
	err error
}

func (w *writer) Write(b []byte) (int, error) {
	if w.err == nil && w.ctx.Err() != nil {
		w.err = context.Cause(w.ctx)
	}
	if w.err == nil {
		_, w.err = w.w.Write(b)
	}
	return len(b), w.err
}

func (w *writer) archive(l localstore.Layout, i validity.Info) error {
	hash := nixhash.SHA256.New()
	both := beside.NewWriter(w, hash)
	err := nar.Dump(both, l.RealPath(i.Path))
	both.Close()
	if err != nil {
		return err
	}
	if got := nixhash.Finish(nixhash.SHA256, hash); got != i.NarHash {
		return &ChangedError{l.Dir.Join(i.Path), i.NarHash, got}
	}
	return nil
}

func (w *writer) record(dir storepath.Dir, i validity.Info) {
	w.integer(magic)
	w.text(dir.Join(i.Path))
	w.integer(uint64(len(i.References)))
	for _, r := range i.References {
		w.text(dir.Join(r))
	}
	if i.Deriver.IsZero() {
		w.text("")
	} else {
		w.text(dir.Join(i.Deriver))
	}
	w.integer(0)
}

func (w *writer) integer(n uint64) { w.Write(binary.LittleEndian.AppendUint64(nil, n)) }

func (w *writer) text(s string) {
	w.integer(uint64(len(s)))
	w.Write(append([]byte(s), make([]byte, -len(s)&7)...))
}
