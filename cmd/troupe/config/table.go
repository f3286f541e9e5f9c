package config

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
)

// Status says what setting a name does in troupe.
type Status string

const (
	// Honoured settings do what they do in Nix.
	Honoured Status = "honoured"
	// Later settings are read and checked, but change nothing yet; one that is not at its default is warned of.
	Later Status = "not yet"
	// Client settings are the business of the evaluator and the command line of Nix, which troupe has no part in.
	Client Status = "client"
	// Own settings are troupe's; Nix does not know them.
	Own Status = "ours"
)

// row is one setting of Nix 2.34.8.
type row struct {
	name    string
	aliases []string
	status  Status
	// extends says that extra-NAME adds to the value.
	extends bool
	// apply reads text into s and returns whether the value now differs from its default.
	apply func(s *Settings, text string, extra bool) (changed bool, err error)
}

func (r row) called(aliases ...string) row {
	r.aliases = aliases
	return r
}

func (r row) own() row {
	r.status = Own
	return r
}

func (r row) notYet() row {
	r.status = Later
	return r
}

// field is a setting with a place in Settings.
func field[T any](name string, k kind[T], at func(*Settings) *T) row {
	apply := func(s *Settings, text string, extra bool) (bool, error) {
		value, err := k.parse(text)
		if err != nil {
			return false, err
		}
		if extra {
			value = k.extend(*at(s), value)
		}
		*at(s) = value
		return !reflect.DeepEqual(*at(s.defaults), value), nil
	}
	return row{name: name, status: Honoured, extends: k.extend != nil, apply: apply}
}

// known is a setting that is only checked: its values mean something to Nix, none is kept here.
func known[T any](name string, k kind[T], byDefault string) row {
	apply := func(s *Settings, text string, extra bool) (bool, error) {
		value, err := k.parse(text)
		if err != nil {
			return false, err
		}
		want, err := k.parse(byDefault)
		if err != nil {
			return false, fmt.Errorf("default %q: %w", byDefault, err)
		}
		if extra {
			return s.unmet[name] || !reflect.DeepEqual(want, k.extend(want, value)), nil
		}
		return !reflect.DeepEqual(want, value), nil
	}
	return row{name: name, status: Later, extends: k.extend != nil, apply: apply}
}

// client is a setting that is none of our business: any value is well.
func client(name string, extends bool) row {
	apply := func(*Settings, string, bool) (bool, error) { return false, nil }
	return row{name: name, status: Client, extends: extends, apply: apply}
}

// Row is one line of the table of settings.
type Row struct {
	Name    string
	Aliases []string
	Status  Status
	Extends bool // whether extra-NAME is a setting too
}

// Table lists every setting of Nix 2.34.8 on Linux and our own, sorted by name.
func Table() []Row {
	var list []Row
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if r := rows[name]; r.name == name {
			list = append(list, Row{Name: r.name, Aliases: r.aliases, Status: r.status, Extends: r.extends})
		}
	}
	return list
}

// rows finds a setting by its name and by its aliases.
var rows = func() map[string]row {
	index := map[string]row{}
	for _, group := range [][]row{honouredRows, ownRows, laterRows, clientRows} {
		for _, r := range group {
			for _, name := range append([]string{r.name}, r.aliases...) {
				index[name] = r
			}
		}
	}
	return index
}()

var (
	counts  = integers[uint](math.MaxUint32)
	numbers = integers[uint32](math.MaxUint32)
	sizes   = integers[uint64](math.MaxInt64)
)
