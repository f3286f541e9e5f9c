package gc

import (
	"hash/maphash"

	"troupe/storage/storepath"
	"troupe/storage/validity"
)

var nameSeed = maphash.MakeSeed()

// names remembers which names in the store's directory are valid paths, by their hashes:
// each collection lists the directory, and to ask the database for every name would cost
// more than all else. It is ready when it is zero.
type names struct {
	valid     map[uint64]struct{}
	forgotten int64 // as of the database, with what was forgotten here
}

// scanAbove is how many names that are not remembered are asked for one by one; where
// there are more, and they are not few beside those that are, all that is valid is read.
const scanAbove = 2000

// unknown returns those of the names that are no valid paths; more are fetched until
// there are none.
func (n *names) unknown(db *validity.DB, more func() ([]string, error)) (unknown []string, err error) {
	n.begin(db)
	full := false // all that is valid was read
	for {
		list, err := more()
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			break
		}
		unknown = append(unknown, n.without(list)...)
		if !full && len(unknown) > max(scanAbove, len(n.valid)/8) {
			full = true
			if err := n.fill(db); err != nil {
				return nil, err
			}
			unknown = n.without(unknown)
		}
	}
	var left []string
	for _, name := range unknown {
		valid := false
		if p, err := storepath.ParseBase(name); err == nil {
			if valid, err = db.Valid(p); err != nil {
				return nil, err
			}
		}
		if valid {
			n.valid[maphash.String(nameSeed, name)] = struct{}{}
		} else {
			left = append(left, name)
		}
	}
	return left, nil
}

// begin forgets all if somebody else has made paths invalid since.
func (n *names) begin(db *validity.DB) {
	if now := db.Forgotten(); n.valid == nil || now != n.forgotten {
		n.valid, n.forgotten = map[uint64]struct{}{}, now
	}
}

func (n *names) without(list []string) (unknown []string) {
	for _, name := range list {
		if _, valid := n.valid[maphash.String(nameSeed, name)]; !valid {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func (n *names) fill(db *validity.DB) error {
	return db.Names(func(base []byte) { n.valid[maphash.Bytes(nameSeed, base)] = struct{}{} })
}

// forget is told of paths that were made invalid, by one call.
func (n *names) forget(paths []storepath.Path) {
	n.forgotten++
	for _, p := range paths {
		delete(n.valid, maphash.String(nameSeed, p.Base()))
	}
}
