package journal

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"troupe/messages"
	"troupe/storage/storepath"
)

// Values are written in a compact form that carries its own description, so
// that a program whose messages have other fields still reads it.
//
//	bool, uint   uvarint
//	int          varint, zigzag
//	text         uvarint length, bytes
//	name         what is written often: 0 and a text, which gets the next number;
//	             1 and a text, when the numbers have run out; n+2 for number n
//	list         uvarint length, elements
//	struct       uvarint, whose bits are the fields that are not zero; those fields
//
// A description is the shape as text: b, u, i, t and n for the scalars, [x] for a
// list of x, {Field:x,Other:y} for a struct.

type kind uint8

const (
	boolKind   kind = 'b'
	uintKind   kind = 'u'
	intKind    kind = 'i'
	textKind   kind = 't'
	nameKind   kind = 'n'
	listKind   kind = '['
	structKind kind = '{'
)

// shape says how values of a type are written.
type shape struct {
	kind   kind
	elem   *shape // of a list
	fields []fieldShape
}

type fieldShape struct {
	name  string
	index int // in the Go type; unused where the shape was read
	*shape
}

func (s *shape) String() string {
	switch s.kind {
	case listKind:
		return "[" + s.elem.String() + "]"
	case structKind:
		parts := make([]string, len(s.fields))
		for i, f := range s.fields {
			parts[i] = f.name + ":" + f.shape.String()
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	return string(rune(s.kind))
}

var (
	pathType  = reflect.TypeFor[storepath.Path]()
	nameTypes = []reflect.Type{reflect.TypeFor[messages.Address](), reflect.TypeFor[messages.GoalKey]()}
	shapes    sync.Map // reflect.Type to *shape
)

// shapeOf describes a Go type. Messages are made of nothing else than what it
// handles, which a test makes sure of.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := makeShape(t)
	shapes.Store(t, s)
	return s
}

func makeShape(t reflect.Type) *shape {
	if t == pathType || t == nameTypes[0] || t == nameTypes[1] {
		return &shape{kind: nameKind}
	}
	switch t.Kind() {
	case reflect.Bool:
		return &shape{kind: boolKind}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &shape{kind: intKind}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &shape{kind: uintKind}
	case reflect.String:
		return &shape{kind: textKind}
	case reflect.Slice:
		return &shape{kind: listKind, elem: shapeOf(t.Elem())}
	case reflect.Struct:
		s := &shape{kind: structKind}
		for i := range t.NumField() {
			s.fields = append(s.fields, fieldShape{t.Field(i).Name, i, shapeOf(t.Field(i).Type)})
		}
		return s
	}
	panic(fmt.Sprintf("a journal cannot hold a %v", t))
}

// parseShape reads a description back.
func parseShape(text string) (*shape, error) {
	p := &shapeParser{text}
	s, err := p.shape(0)
	if err == nil && p.rest != "" {
		err = fmt.Errorf("%q follows a shape", p.rest)
	}
	return s, err
}

type shapeParser struct{ rest string }

// maxNesting bounds the depth of a shape.
const maxNesting = 32

func (p *shapeParser) take(c string) bool {
	var ok bool
	p.rest, ok = strings.CutPrefix(p.rest, c)
	return ok
}

func (p *shapeParser) shape(depth int) (*shape, error) {
	if p.rest == "" || depth > maxNesting {
		return nil, errors.New("a shape ends too early or is too deep")
	}
	k := kind(p.rest[0])
	p.rest = p.rest[1:]
	switch k {
	case boolKind, uintKind, intKind, textKind, nameKind:
		return &shape{kind: k}, nil
	case listKind:
		elem, err := p.shape(depth + 1)
		if err == nil && !p.take("]") {
			err = errors.New("a list's shape has no end")
		}
		return &shape{kind: k, elem: elem}, err
	case structKind:
		return p.structShape(depth)
	}
	return nil, fmt.Errorf("no such kind of value: %q", rune(k))
}

func (p *shapeParser) structShape(depth int) (*shape, error) {
	s := &shape{kind: structKind}
	for !p.take("}") {
		if len(s.fields) > 0 && !p.take(",") {
			return nil, errors.New("a struct's shape has no end")
		}
		name, rest, ok := strings.Cut(p.rest, ":")
		if !ok || len(s.fields) == 64 {
			return nil, errors.New("a field has no shape, or there are too many")
		}
		p.rest = rest
		f, err := p.shape(depth + 1)
		if err != nil {
			return nil, err
		}
		s.fields = append(s.fields, fieldShape{name: name, shape: f})
	}
	return s, nil
}
