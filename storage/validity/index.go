package validity

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"troupe/storage/storepath"
)

// Collections begin with the paths that no other path refers to, the heads, so that
// they need not look at what stays. What they could not come to from there is cycles
// that nothing needs. Each path needs what it refers to and, perhaps, its deriver. By the
// order in which paths become durable a cycle has a step to one that came later, or at the
// same moment: these are noted, as knots. Both indexes may have more than they need:
// who reads them looks at the referrers.

// putIndexes adds to a batch what the indexes have of units that become durable with it;
// under writing.
func (db *DB) putIndexes(b *pebble.Batch, units map[*unit]struct{}) error {
	c := newcomers{at: map[storepath.Path]int32{}}
	for u := range units {
		for _, i := range u.reg.Paths {
			c.at[i.Path] = int32(len(c.infos))
			c.infos = append(c.infos, i)
		}
	}
	errs := []error{c.putHeads(b), db.putLate(b, c.infos)}
	if c.meet {
		errs = append(errs, putKnots(b, c.groups(), func(at int32) storepath.Path { return c.infos[at].Path }))
	}
	for _, i := range c.infos {
		errs = append(errs, putMade(b, i))
	}
	return errors.Join(errs...)
}

// newcomers are the paths that become durable with one batch.
type newcomers struct {
	infos []Info
	at    map[storepath.Path]int32
	meet  bool // one refers to another
}

// putHeads makes those heads that none of the others refers to; what they refer to is
// none any more.
func (c *newcomers) putHeads(b *pebble.Batch) error {
	var errs []error
	taken := map[storepath.Path]struct{}{}
	for _, i := range c.infos {
		for _, r := range i.References {
			if _, again := taken[r]; again || r == i.Path {
				continue
			}
			taken[r] = struct{}{}
			if _, among := c.at[r]; among {
				c.meet = true
			} else {
				errs = append(errs, b.Delete(pathKey(keyHead, r), nil))
			}
		}
	}
	for _, i := range c.infos {
		if _, not := taken[i.Path]; !not {
			errs = append(errs, b.Set(pathKey(keyHead, i.Path), nil, nil))
		}
	}
	return errors.Join(errs...)
}

// groups are those of paths that need each other.
func (c *newcomers) groups() [][]int32 {
	return Groups(len(c.infos), func(int32) bool { return true }, func(at int32, n int) (int32, bool) {
		i := c.infos[at]
		var p storepath.Path
		switch {
		case n < len(i.References):
			p = i.References[n]
		case n == len(i.References):
			p = i.Deriver
		default:
			return 0, false
		}
		if to, among := c.at[p]; among {
			return to, true
		}
		return at, true
	})
}

func putKnots(b *pebble.Batch, groups [][]int32, path func(at int32) storepath.Path) error {
	for _, g := range groups {
		for _, at := range g {
			if len(g) == 1 {
				continue
			}
			if err := b.Set(pathKey(keyKnot, path(at)), nil, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// putLate makes a knot of each derivation that comes after a path that names it as its
// deriver.
func (db *DB) putLate(b *pebble.Batch, infos []Info) (err error) {
	var made *pebble.Iterator
	for _, i := range infos {
		if err != nil || !i.Path.IsDerivation() {
			continue
		}
		if made == nil {
			if made, err = db.iterate([]byte{keyMade}); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, made.Close()) }()
		}
		_, late, err := pairAfter(made, keyMade, i.Path, storepath.Path{})
		if late {
			err = b.Set(pathKey(keyKnot, i.Path), nil, nil)
		}
		if err != nil {
			return err
		}
	}
	return err
}

func putMade(b *pebble.Batch, i Info) error {
	if i.Deriver.IsZero() {
		return nil
	}
	return b.Set(pairKey(keyMade, i.Deriver, i.Path.Base()), nil, nil)
}

// putNeeds changes the indexes for a record that says something else now than it did.
func putNeeds(b *pebble.Batch, old, now Info) error {
	p := now.Path
	had, has := references(old), references(now)
	var errs []error
	knot := old.Deriver != now.Deriver
	for r := range had {
		if !has[r] && r != p {
			errs = append(errs, b.Set(pathKey(keyHead, r), nil, nil))
		}
	}
	for r := range has {
		if !had[r] && r != p {
			knot = true
			errs = append(errs, b.Delete(pathKey(keyHead, r), nil))
		}
	}
	if old.Deriver != now.Deriver {
		if !old.Deriver.IsZero() {
			errs = append(errs, b.Delete(pairKey(keyMade, old.Deriver, p.Base()), nil))
		}
		errs = append(errs, putMade(b, now))
	}
	if knot {
		errs = append(errs, b.Set(pathKey(keyKnot, p), nil, nil))
	}
	return errors.Join(errs...)
}

func references(i Info) map[storepath.Path]bool {
	all := make(map[storepath.Path]bool, len(i.References))
	for _, r := range i.References {
		all[r] = true
	}
	return all
}

// pairAfter is the second half of first's pair that follows one, or of its first pair.
// The iterator is over all pairs of that kind.
func pairAfter(iter *pebble.Iterator, kind byte, first, second storepath.Path) (next storepath.Path, found bool, err error) {
	prefix := pairPrefix(kind, first)
	from := prefix
	if !second.IsZero() {
		from = append(append(from[:len(from):len(from)], second.Base()...), 0)
	}
	if iter.SeekGEWithLimit(from, after(prefix)) != pebble.IterValid {
		if err := iter.Error(); err != nil {
			return next, false, corruption(prefix, err)
		}
		return next, false, nil
	}
	next, err = pairPath(iter.Key(), prefix)
	return next, err == nil, err
}
