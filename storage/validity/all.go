package validity

import (
	"errors"
	"iter"
	"slices"

	"troupe/storage/storepath"
)

// All yields the record of every valid path: the provisional ones, then the
// durable ones, each in the order of their names. An error ends it. What is
// registered or forgotten meanwhile may or may not be seen.
func (db *DB) All() iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		seen := db.provisionalInfos()
		for _, i := range seen {
			if !yield(i, nil) {
				return
			}
		}
		err := db.scan([]byte{keyInfo}, func(k, v []byte) error {
			p, err := storepath.ParseBase(string(k[1:]))
			if err != nil {
				return corrupt(k, err)
			}
			if _, found := slices.BinarySearchFunc(seen, p, func(i Info, p storepath.Path) int { return i.Path.Compare(p) }); found {
				return nil // committed since
			}
			i, err := decodeInfo(p, v)
			if err != nil {
				return corrupt(k, err)
			}
			if !yield(i, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(Info{}, err)
		}
	}
}

// Names calls f with the base name of each durable path; the bytes are the database's.
func (db *DB) Names(f func(base []byte)) error {
	return db.scan([]byte{keyInfo}, func(k, _ []byte) error {
		db.asked.viewed.Add(1)
		f(k[1:])
		return nil
	})
}

// errStopped ends a scan whose consumer has enough.
var errStopped = errors.New("stopped")

func (db *DB) provisionalInfos() []Info {
	db.overlay.mu.RLock()
	defer db.overlay.mu.RUnlock()
	out := make([]Info, 0, len(db.overlay.infos))
	for _, at := range db.overlay.infos {
		out = append(out, at.info)
	}
	slices.SortFunc(out, func(a, b Info) int { return a.Path.Compare(b.Path) })
	return out
}
