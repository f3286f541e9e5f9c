package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrUnknown is what Set returns for a name that Nix 2.34.8 does not have.
var ErrUnknown = errors.New("unknown setting")

// Set gives a setting a value in the text form of nix.conf. name is Nix's name, an alias, or "extra-" and
// one of those for lists. On error nothing has changed; ErrUnknown is for the caller to warn of, as Nix does.
func (s *Settings) Set(name, value string) error {
	r, extra, ok := find(name)
	if !ok {
		return fmt.Errorf("set %q: %w", name, ErrUnknown)
	}
	changed, err := r.apply(s, value, extra)
	if err != nil {
		return fmt.Errorf("set %s to %q: %w", name, value, err)
	}
	if r.status == Later && s.unmet[r.name] != changed { // so that settings that are alike are equal
		s.unmet = maps.Clone(s.unmet)
		if s.unmet == nil {
			s.unmet = map[string]bool{}
		}
		s.unmet[r.name] = changed
	}
	return nil
}

// Canonical is a setting's own name where name is an alias of it, with "extra-" where that was there.
// What is not known stays as it is.
func Canonical(name string) string {
	r, extra, ok := find(name)
	switch {
	case !ok:
		return name
	case extra:
		return "extra-" + r.name
	}
	return r.name
}

// IsDaemons reports whether a setting is about the daemon as a whole, which no
// client can have otherwise.
func IsDaemons(name string) bool {
	r, _, ok := find(name)
	return ok && daemons[r.name]
}

// daemons are the settings of a daemon as a whole.
var daemons = map[string]bool{
	"allowed-users": true, "trusted-users": true, "build-users-group": true, "auto-allocate-uids": true, "start-id": true, "id-count": true,
	"use-cgroups": true, "store": true, "journal-size": true, "drain-timeout": true, "gc-reserved-space": true,
}

// find returns the row for a name; extra is true where the value is to be added to what is there.
func find(name string) (r row, extra, ok bool) {
	if r, ok := rows[name]; ok {
		return r, false, true
	}
	bare, extra := strings.CutPrefix(name, "extra-")
	if r, ok := rows[bare]; ok && extra && r.extends {
		return r, true, true
	}
	return row{}, false, false
}

// Unmet lists, sorted, the settings that are away from their defaults and that troupe does not honour yet.
func (s *Settings) Unmet() []string {
	var names []string
	for name, away := range s.unmet {
		if away {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
