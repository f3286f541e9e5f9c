package workerproto

import (
	"fmt"

	"troupe/storage/storepath"
)

// Nothing is the reply of operations that have none.
type Nothing struct{}

func (*Nothing) walk(*form) {}

// One says that an operation is done.
type One struct{}

func (*One) walk(f *form) {
	n := uint64(1)
	if f.integer("done", &n); n != 1 {
		f.fail("done", fmt.Errorf("%d instead of 1", n))
	}
}

// Bool answers yes or no.
type Bool struct{ Value bool }

func (p *Bool) walk(f *form) { f.boolean("value", &p.Value) }

// OptionalPath is a path, or the zero path.
type OptionalPath struct{ Path storepath.Path }

func (p *OptionalPath) walk(f *form) { f.optionalPath("path", &p.Path) }

// Path is a path.
type Path struct{ Path storepath.Path }

func (p *Path) walk(f *form) { f.path("path", &p.Path) }

// Paths is a sorted set of paths.
type Paths struct{ Paths []storepath.Path }

func (p *Paths) walk(f *form) { f.paths("paths", &p.Paths) }

// Names is a sorted set of names.
type Names struct{ Names []string }

func (p *Names) walk(f *form) { f.names("names", &p.Names) }

// FileName is the name of a file.
type FileName struct{ Name string }

func (p *FileName) walk(f *form) { f.text("file name", &p.Name, maxPath) }

// optional is a boolean, and the value where it is true.
func optional[T any](f *form, field string, p **T, walk func(*T)) {
	present := *p != nil
	f.boolean(field, &present)
	if f.failed() || !present {
		return
	}
	if f.reading() {
		*p = new(T)
	}
	walk(*p)
}
