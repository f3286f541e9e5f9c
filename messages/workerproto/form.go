package workerproto

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// Bounds of what is short by its nature, in bytes or items.
const (
	maxPath    = 1 << 12 // a file name
	maxName    = 1 << 10 // of an output, a method, a hash, a signature
	maxJSON    = 1 << 20
	maxEntries = 1 << 16 // of a map
)

// form is one walk over the fields of a message, in their order on the wire. It
// reads them or writes them: each message describes itself once, for both. The
// first error ends the walk; what follows it does nothing. What is written is not
// touched, so that many may write one value.
type form struct {
	Dialect
	in  *Reader // exactly one of in and out is there
	out *Writer
	err *DecodeError // Message is filled in at the end
	bad error        // what cannot be written
}

func (f *form) reading() bool { return f.in != nil }
func (f *form) failed() bool  { return f.err != nil || f.bad != nil }

// fail notes the first error of a field.
func (f *form) fail(field string, err error) {
	switch {
	case err == nil || f.failed():
	case f.reading():
		f.err = &DecodeError{Field: field, Err: err}
	default:
		f.bad = fmt.Errorf("%s: %w", field, err)
	}
}

func (f *form) integer(field string, p *uint64) {
	if f.failed() {
		return
	}
	if !f.reading() {
		f.out.Int(*p)
		return
	}
	n, err := f.in.Int()
	*p = n
	f.fail(field, err)
}

// small is an integer of at most limit.
func (f *form) small(field string, n *uint8, limit uint64) {
	wide := uint64(*n)
	f.integer(field, &wide)
	if wide > limit {
		f.fail(field, fmt.Errorf("%d is more than %d", wide, limit))
	}
	if f.reading() {
		*n = uint8(wide)
	}
}

// seconds is a time or a duration that is not negative.
func (f *form) seconds(field string, p *int64) {
	wide := uint64(*p)
	f.integer(field, &wide)
	if wide > math.MaxInt64 {
		f.fail(field, fmt.Errorf("%d is out of range", wide))
	}
	if f.reading() {
		*p = int64(wide)
	}
}

// level is clamped: clients add up their -v.
func (f *form) level(field string, l *Level) {
	wide := uint64(*l)
	f.integer(field, &wide)
	if f.reading() {
		*l = Level(min(wide, uint64(LevelVomit)))
	}
}

func (f *form) boolean(field string, p *bool) {
	if f.failed() {
		return
	}
	if !f.reading() {
		f.out.Bool(*p)
		return
	}
	b, err := f.in.Bool()
	*p = b
	f.fail(field, err)
}

// flag is a boolean that any number but 0 sets.
func (f *form) flag(field string, p *bool) {
	wide := uint64(0)
	if *p {
		wide = 1
	}
	f.integer(field, &wide)
	if f.reading() {
		*p = wide != 0
	}
}

// constant is an integer that says nothing any more: it is written as n, and
// not looked at.
func (f *form) constant(field string, n uint64) { f.integer(field, &n) }

func (f *form) text(field string, p *string, limit uint64) {
	if f.failed() {
		return
	}
	if !f.reading() {
		f.out.String(*p)
		return
	}
	s, err := f.in.String(limit)
	*p = s
	f.fail(field, err)
}

// parsed is a value that is written as a string.
func parsed[T any](f *form, field string, p *T, limit uint64, print func(T) string, parse func(string) (T, error)) {
	s := ""
	if !f.reading() {
		s = print(*p)
	}
	f.text(field, &s, limit)
	if f.reading() && !f.failed() {
		v, err := parse(s)
		*p = v
		f.fail(field, err)
	}
}

func (f *form) path(field string, p *storepath.Path) {
	if !f.reading() && p.IsZero() {
		f.fail(field, fmt.Errorf("no path"))
	}
	parsed(f, field, p, maxPath, f.Dir.Join, f.Dir.Parse)
}

// optionalPath is empty for none.
func (f *form) optionalPath(field string, p *storepath.Path) {
	parsed(f, field, p, maxPath, f.joinOptional, f.parseOptional)
}

func (f *form) joinOptional(p storepath.Path) string {
	if p.IsZero() {
		return ""
	}
	return f.Dir.Join(p)
}

func (f *form) parseOptional(s string) (storepath.Path, error) {
	if s == "" {
		return storepath.Path{}, nil
	}
	return f.Dir.Parse(s)
}

// base is a store path without its directory.
func (f *form) base(field string, p *storepath.Path) {
	parsed(f, field, p, maxPath, storepath.Path.Base, storepath.ParseBase)
}

func (f *form) sha256(field string, h *nixhash.Hash) {
	parsed(f, field, h, maxName, nixhash.Hash.Base16, func(s string) (nixhash.Hash, error) {
		return nixhash.Parse(s, nixhash.SHA256)
	})
}

// contentAddress is a content address as Nix writes it, or "".
func (f *form) contentAddress(field string, ca *string) {
	parsed(f, field, ca, maxName, func(s string) string { return s }, func(s string) (string, error) {
		if s == "" {
			return "", nil
		}
		c, err := storepath.ParseContentAddress(s)
		return c.String(), err
	})
}

// list is a count and the items. They are read one by one, so that a count that
// lies takes no memory; size is the least that an item has in bytes.
func list[T any](f *form, field string, p *[]T, size uint64, item func(string, *T)) {
	n := uint64(len(*p))
	if f.reading() && !f.failed() {
		count, err := f.in.Count(size)
		f.fail(field, err)
		n, *p = uint64(count), nil
	} else {
		f.integer(field, &n)
	}
	for i := uint64(0); i < n && !f.failed(); i++ {
		if f.reading() {
			var v T
			item(field, &v)
			*p = append(*p, v)
		} else {
			item(field, &(*p)[i])
		}
	}
}

// set is a list that is sorted on the wire and in memory, without repeats. What
// is read in another order is sorted.
func set[T any](f *form, field string, p *[]T, compare func(a, b T) int, item func(string, *T)) {
	if !f.reading() {
		sorted := sortedSet(slices.Clone(*p), compare)
		list(f, field, &sorted, 8, item)
		return
	}
	list(f, field, p, 8, item)
	*p = sortedSet(*p, compare)
}

func sortedSet[T any](s []T, compare func(a, b T) int) []T {
	if !slices.IsSortedFunc(s, compare) {
		slices.SortFunc(s, compare)
	}
	return slices.CompactFunc(s, func(a, b T) bool { return compare(a, b) == 0 })
}

func (f *form) paths(field string, p *[]storepath.Path) {
	set(f, field, p, storepath.Path.Compare, f.path)
}

func (f *form) shortText(field string, p *string) { f.text(field, p, maxName) }
func (f *form) longText(field string, p *string)  { f.text(field, p, NoLimit) }

// fileNames is a set of names of files.
func (f *form) fileNames(field string, p *[]string) {
	set(f, field, p, strings.Compare, func(field string, s *string) { f.text(field, s, maxPath) })
}

// names is a set of short strings.
func (f *form) names(field string, p *[]string) { set(f, field, p, strings.Compare, f.shortText) }

// dictionary is a map of strings, sorted by key on the wire.
func (f *form) dictionary(field string, p *map[string]string) {
	if f.reading() {
		f.readDictionary(field, p)
		return
	}
	n := uint64(len(*p))
	f.integer(field, &n)
	for _, k := range slices.Sorted(maps.Keys(*p)) {
		v := (*p)[k]
		f.longText(field, &k)
		f.longText(field, &v)
	}
}

func (f *form) readDictionary(field string, p *map[string]string) {
	m := map[string]string{}
	for range f.entries(field, maxEntries) {
		var k, v string
		f.longText(field, &k)
		f.longText(field, &v)
		if f.failed() {
			return
		}
		m[k] = v
	}
	*p = m
}

// entries reads the count of a map or set with at most limit entries.
func (f *form) entries(field string, limit int) int {
	if f.failed() {
		return 0
	}
	n, err := f.in.Count(8)
	if err == nil && n > limit {
		err = fmt.Errorf("%d entries, more than %d", n, limit)
	}
	f.fail(field, err)
	if err != nil {
		return 0
	}
	return n
}

// shown is the beginning of a string for an error.
func shown(s string) string { return s[:min(len(s), 100)] }
