package validity

import (
	"errors"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/storepath"
)

// Closure yields the roots and all that they refer to, each path once, nearer
// paths first. It is a [*NotValidError] when a root is not valid; an error ends
// it. Memory is a map of the names seen.
func (db *DB) Closure(roots ...storepath.Path) iter.Seq2[storepath.Path, error] {
	return func(yield func(storepath.Path, error) bool) {
		w, err := db.newWalk()
		if err != nil {
			yield(storepath.Path{}, err)
			return
		}
		err = w.levels(roots, yield)
		if err = errors.Join(err, w.records.Close()); err != nil && !errors.Is(err, errStopped) {
			yield(storepath.Path{}, err)
		}
	}
}

// A walk reads the references of many paths through one iterator. Each level
// is asked in the order of the names, which lets the iterator go on from where
// it is and read each block once.
type walk struct {
	db      *DB
	records *pebble.Iterator
	seen    map[string]struct{}
	next    []storepath.Path
	err     error
}

func (db *DB) newWalk() (*walk, error) {
	records, err := db.iterate([]byte{keyInfo})
	if err != nil {
		return nil, err
	}
	return &walk{db: db, records: records, seen: map[string]struct{}{}}, nil
}

func (w *walk) levels(roots []storepath.Path, yield func(storepath.Path, error) bool) error {
	for _, r := range roots {
		w.see([]byte(r.Base()))
	}
	for len(w.next) > 0 && w.err == nil {
		level := w.next
		w.next = nil
		slices.SortFunc(level, storepath.Path.Compare)
		for _, p := range level {
			if err := w.expand(p); err != nil {
				return err
			}
			if !yield(p, nil) {
				return errStopped
			}
		}
	}
	return w.err
}

// see notes a path for the next level, unless it was seen. Most references are
// to paths seen before, so they cost a look-up and no string.
func (w *walk) see(base []byte) {
	if _, ok := w.seen[string(base)]; ok {
		return
	}
	p, err := storepath.ParseBase(string(base))
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	w.seen[p.Base()] = struct{}{}
	w.next = append(w.next, p)
}

func (w *walk) expand(p storepath.Path) error {
	if at, ok := w.db.provisional(p); ok {
		for _, r := range at.info.References {
			w.see([]byte(r.Base()))
		}
		return nil
	}
	k := pathKey(keyInfo, p)
	if w.records.SeekGE(k) && string(w.records.Key()) == string(k) {
		return w.refs(k, w.records.Value())
	}
	if err := w.records.Error(); err != nil {
		return corruption(k, err)
	}
	// Committed after the iterator was made, or not valid.
	found, err := w.db.read(k, func(record []byte) error { return eachReference(record, w.see) })
	if err == nil && !found {
		err = &NotValidError{p}
	}
	return err
}

func (w *walk) refs(k, record []byte) error {
	if err := eachReference(record, w.see); err != nil {
		return corrupt(k, err)
	}
	return nil
}

// ReverseClosure yields the paths and all that refer to them, each once, nearer
// paths first. An error ends it.
func (db *DB) ReverseClosure(paths ...storepath.Path) iter.Seq2[storepath.Path, error] {
	return func(yield func(storepath.Path, error) bool) {
		seen := map[storepath.Path]struct{}{}
		var queue []storepath.Path
		add := func(paths []storepath.Path) {
			for _, p := range paths {
				if _, ok := seen[p]; !ok {
					seen[p] = struct{}{}
					queue = append(queue, p)
				}
			}
		}
		add(paths)
		for n := 0; n < len(queue); n++ {
			if !yield(queue[n], nil) {
				return
			}
			referrers, err := db.Referrers(queue[n])
			if err != nil {
				yield(storepath.Path{}, err)
				return
			}
			add(referrers)
		}
	}
}
