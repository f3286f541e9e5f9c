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
		w := &walk{db: db, age: db.known.now(), seen: map[string]storepath.Path{}}
		err := w.levels(roots, yield)
		if err = errors.Join(err, w.close()); err != nil && !errors.Is(err, errStopped) {
			yield(storepath.Path{}, err)
		}
	}
}

// A walk reads the references of many paths, those that are not known, through one
// iterator. Each level is asked in the order of the names, which lets the iterator
// go on from where it is and read each block once.
type walk struct {
	db      *DB
	age     uint64           // of what is known, before anything was read
	records *pebble.Iterator // nil before it is needed
	seen    map[string]storepath.Path
	next    []storepath.Path
	err     error
}

func (w *walk) close() error {
	if w.records == nil {
		return nil
	}
	return w.records.Close()
}

func (w *walk) levels(roots []storepath.Path, yield func(storepath.Path, error) bool) error {
	for _, r := range roots {
		w.see([]byte(r.Base()))
	}
	for len(w.next) > 0 && w.err == nil {
		level := w.next
		w.db.asked.walked.Add(int64(len(level)))
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
func (w *walk) see(base []byte) storepath.Path {
	if p, ok := w.seen[string(base)]; ok {
		return p
	}
	if at := w.db.known.find(base); at != nil {
		w.seePath(at.path)
		return at.path
	}
	p, err := storepath.ParseBase(string(base))
	if err != nil {
		w.err = errors.Join(w.err, err)
		return p
	}
	w.seePath(p)
	return p
}

func (w *walk) seePath(p storepath.Path) {
	if _, ok := w.seen[p.Base()]; !ok {
		w.seen[p.Base()] = p
		w.next = append(w.next, p)
	}
}

func (w *walk) expand(p storepath.Path) error {
	if at, ok := w.db.provisional(p); ok {
		for _, r := range at.info.References {
			w.seePath(r)
		}
		return nil
	}
	if at := w.db.known.find([]byte(p.Base())); at != nil {
		for _, r := range at.references {
			w.seePath(r)
		}
		return nil
	}
	return w.read(p)
}

// read reads a path's references, and lets them be known.
func (w *walk) read(p storepath.Path) (err error) {
	if w.records == nil {
		if w.records, err = w.db.iterate([]byte{keyInfo}); err != nil {
			return err
		}
	}
	var references []storepath.Path
	note := func(base []byte) { references = append(references, w.see(base)) }
	k := pathKey(keyInfo, p)
	if w.records.SeekGE(k) && string(w.records.Key()) == string(k) {
		if err := eachReference(w.records.Value(), note); err != nil {
			return corrupt(k, err)
		}
	} else if err := w.records.Error(); err != nil {
		return corruption(k, err)
	} else if found, err := w.db.read(k, func(record []byte) error { return eachReference(record, note) }); err != nil {
		return err // committed after the iterator was made
	} else if !found {
		return &NotValidError{p}
	}
	if w.err == nil {
		w.db.known.add(w.age, p, references)
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
