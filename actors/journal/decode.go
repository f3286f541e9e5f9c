package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"

	"troupe/storage/storepath"
)

// decoder takes values off a buffer.
type decoder struct {
	buf   []byte
	names []string
}

var errShort = errors.New("a value ends too early")

func (d *decoder) uint() (uint64, error) {
	n, size := binary.Uvarint(d.buf)
	if size <= 0 {
		return 0, errShort
	}
	d.buf = d.buf[size:]
	return n, nil
}

func (d *decoder) text() (string, error) {
	n, err := d.uint()
	if err != nil || n > uint64(len(d.buf)) {
		return "", errShort
	}
	s := string(d.buf[:n])
	d.buf = d.buf[n:]
	return s, nil
}

func (d *decoder) name() (string, error) {
	n, err := d.uint()
	if err != nil {
		return "", err
	}
	if n >= 2 {
		if n-2 >= uint64(len(d.names)) {
			return "", fmt.Errorf("name number %d does not exist", n-2)
		}
		return d.names[n-2], nil
	}
	s, err := d.text()
	if n == 0 && err == nil {
		d.names = append(d.names, s)
	}
	return s, err
}

// value reads into v, which has the place of what was written; where this
// program has no such place v is not valid, and the value is passed over.
func (d *decoder) value(s *shape, v reflect.Value) error {
	switch s.kind {
	case boolKind, uintKind:
		n, err := d.uint()
		if err == nil && v.IsValid() {
			err = setUint(v, n)
		}
		return err
	case intKind:
		n, size := binary.Varint(d.buf)
		if size <= 0 {
			return errShort
		}
		d.buf = d.buf[size:]
		if v.IsValid() {
			return setInt(v, n)
		}
	case textKind:
		t, err := d.text()
		if err == nil && v.IsValid() {
			err = setText(v, t)
		}
		return err
	case nameKind:
		t, err := d.name()
		if err == nil && v.IsValid() {
			err = setText(v, t)
		}
		return err
	case listKind:
		return d.list(s, v)
	case structKind:
		return d.fields(s, v)
	}
	return nil
}

func (d *decoder) list(s *shape, v reflect.Value) error {
	n, err := d.uint()
	if err != nil || n > uint64(len(d.buf)) { // an element has a byte at least
		return errShort
	}
	into := v.IsValid() && v.Kind() == reflect.Slice
	if v.IsValid() && !into {
		return errOther
	}
	if into {
		v.Set(reflect.MakeSlice(v.Type(), int(n), int(n)))
	}
	for i := range int(n) {
		var at reflect.Value
		if into {
			at = v.Index(i)
		}
		if err := d.value(s.elem, at); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) fields(s *shape, v reflect.Value) error {
	set, err := d.uint()
	if err != nil {
		return err
	}
	if v.IsValid() && v.Kind() != reflect.Struct {
		return errOther
	}
	for i, f := range s.fields {
		if set&(1<<i) == 0 {
			continue
		}
		var at reflect.Value
		if v.IsValid() {
			at = v.FieldByName(f.name)
		}
		if at.IsValid() && !at.CanSet() {
			return errOther
		}
		if err := d.value(f.shape, at); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

var errOther = errors.New("it is of another type in this program")

func setUint(v reflect.Value, n uint64) error {
	switch {
	case v.Kind() == reflect.Bool:
		v.SetBool(n != 0)
	case v.CanUint() && !v.OverflowUint(n):
		v.SetUint(n)
	default:
		return errOther
	}
	return nil
}

func setInt(v reflect.Value, n int64) error {
	if !v.CanInt() || v.OverflowInt(n) {
		return errOther
	}
	v.SetInt(n)
	return nil
}

func setText(v reflect.Value, s string) error {
	if v.Type() == pathType {
		p, err := storepath.ParseBase(s)
		if err == nil {
			v.Set(reflect.ValueOf(p))
		}
		return err
	}
	if v.Kind() != reflect.String {
		return errOther
	}
	v.SetString(s)
	return nil
}
