package journal

import (
	"encoding/binary"
	"reflect"
)

// maxNames bounds the names that a file numbers.
const maxNames = 1 << 16

// encoder appends values to a buffer.
type encoder struct {
	buf   []byte
	names map[string]uint64
}

func (e *encoder) uint(n uint64) { e.buf = binary.AppendUvarint(e.buf, n) }

func (e *encoder) text(s string) {
	e.uint(uint64(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *encoder) name(s string) {
	if n, ok := e.names[s]; ok {
		e.uint(n + 2)
		return
	}
	if len(e.names) == maxNames {
		e.uint(1)
		e.text(s)
		return
	}
	e.names[s] = uint64(len(e.names))
	e.uint(0)
	e.text(s)
}

func (e *encoder) value(s *shape, v reflect.Value) {
	switch s.kind {
	case boolKind:
		if v.Bool() {
			e.uint(1)
			return
		}
		e.uint(0)
	case uintKind:
		e.uint(v.Uint())
	case intKind:
		e.buf = binary.AppendVarint(e.buf, v.Int())
	case textKind:
		e.text(v.String())
	case nameKind:
		e.name(nameOf(v))
	case listKind:
		e.uint(uint64(v.Len()))
		for i := range v.Len() {
			e.value(s.elem, v.Index(i))
		}
	case structKind:
		e.fields(s, v)
	}
}

func nameOf(v reflect.Value) string {
	if v.Kind() == reflect.String {
		return v.String()
	}
	return v.Field(0).String() // of a path: its base name
}

func (e *encoder) fields(s *shape, v reflect.Value) {
	var set uint64
	for i, f := range s.fields {
		if !empty(f.shape, v.Field(f.index)) {
			set |= 1 << i
		}
	}
	e.uint(set)
	for i, f := range s.fields {
		if set&(1<<i) != 0 {
			e.value(f.shape, v.Field(f.index))
		}
	}
}

// empty reports whether a field need not be written. A list without elements is
// nil when it is read.
func empty(s *shape, v reflect.Value) bool {
	if s.kind == listKind {
		return v.Len() == 0
	}
	return v.IsZero()
}
