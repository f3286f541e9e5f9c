// Package messages is the vocabulary of the actors: every message that one
// actor may send another, and nothing else. One file holds one conversation,
// the requests beside their answers.
//
// Messages are immutable once sent. Bulk bytes never travel in one: a path or
// the name of a build does, and the ports stream.
package messages

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// Message is implemented by a pointer to every message of this package. The
// marker's receiver is the pointer, so sending a value does not compile.
type Message interface {
	fmt.Stringer
	message()
}

// Address names one actor of a tree, for instance "worker", "slots" or
// "drv/<hash>-hello.drv". An address is never used again for another actor, so
// a late answer to one that has stopped reaches nobody.
type Address string

// The actors of which there is one a process.
const (
	Worker     Address = "worker"
	Slots      Address = "slots"
	BuildUsers Address = "build-users"
	PathLocks  Address = "path-locks"
	Store      Address = "store"
	Door       Address = "door"

	// Ports: they do I/O and decide nothing.
	Clock    Address = "port/clock"
	Database Address = "port/database"
	Builds   Address = "port/builds"
	Caches   Address = "port/caches"
	Process  Address = "port/process"
	Users    Address = "port/users"
	Locks    Address = "port/locks"
	Progress Address = "port/progress"
	Clients  Address = "port/clients"
	Sessions Address = "port/sessions"
	Hooks    Address = "port/hooks"
)

// IsPort reports whether the actor does I/O rather than decide.
func (a Address) IsPort() bool { return strings.HasPrefix(string(a), "port/") }

// IsFetch reports whether the actor is a goal that makes a path valid as it is.
func (a Address) IsFetch() bool { return strings.HasPrefix(string(a), "path/") }

// line renders a message as "kebab-name key=value …", leaving out zero fields.
// The journal, the logs and the tests all show this one form.
func line(m Message) string {
	v := reflect.ValueOf(m).Elem()
	var b strings.Builder
	b.WriteString(Name(m))
	for i := range v.NumField() {
		if f := v.Field(i); f.IsZero() || f.Kind() == reflect.Slice && f.Len() == 0 {
			continue
		}
		b.WriteByte(' ')
		b.WriteString(kebab(v.Type().Field(i).Name))
		b.WriteByte('=')
		b.WriteString(value(v.Field(i).Interface()))
	}
	return b.String()
}

// Name is the message's name as the journal and the tests write it, for
// instance "builder-exited".
func Name(m Message) string { return NameOf(reflect.TypeOf(m).Elem().Name()) }

// NameOf is the name of the message whose Go type is called so.
func NameOf(goName string) string { return kebab(goName) }

func value(x any) string {
	switch x := x.(type) {
	case time.Duration:
		return x.String()
	case fmt.Stringer:
		return x.String()
	case string:
		return quoteIfNeeded(x)
	}
	v := reflect.ValueOf(x)
	switch v.Kind() {
	case reflect.Slice:
		return sliceValue(v)
	case reflect.String:
		return quoteIfNeeded(v.String())
	}
	return fmt.Sprint(x)
}

// shownItems bounds how much of a list one line shows: an actor may wait for
// ten thousand others.
const shownItems = 8

func sliceValue(v reflect.Value) string {
	items := make([]string, 0, shownItems+1)
	for i := range v.Len() {
		if i == shownItems {
			items = append(items, fmt.Sprintf("… %d in all", v.Len()))
			break
		}
		items = append(items, value(v.Index(i).Interface()))
	}
	return "[" + strings.Join(items, " ") + "]"
}

func quoteIfNeeded(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == 0x7f }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// kebab turns a Go name into the form that people read: "BuilderExited" is
// "builder-exited", "EOF" is "eof", "UIDRange" is "uid-range".
func kebab(s string) string {
	var b strings.Builder
	rs := []rune(s)
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 &&
			(unicode.IsLower(rs[i-1]) || (i+1 < len(rs) && unicode.IsLower(rs[i+1]))) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
