// Package storepath holds the names of store objects: "<hash part>-<name>"
// below a store directory. It does no I/O.
package storepath

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"troupe/storage/nixhash"
)

const (
	hashLen       = 32  // characters of the hash part
	hashBytes     = 20  // bytes that it encodes
	maxNameLen    = 211 // so that "<hash>-<name>.lock.drv" and the like stay file names
	drvSuffix     = ".drv"
	nameAlphabet  = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._?="
	separatorSign = '-'
)

// Which bytes there may be; millions are looked at.
var inHash, inName = setOf(nixhash.Alphabet), setOf(nameAlphabet)

func setOf(bytes string) (set [256]bool) {
	for i := range len(bytes) {
		set[bytes[i]] = true
	}
	return set
}

// Path names a store object without its store directory. It is comparable; the
// zero value is none.
type Path struct{ base string }

// ParseBase reads "<hash part>-<name>".
func ParseBase(s string) (Path, error) {
	if len(s) < hashLen+2 || s[hashLen] != separatorSign {
		return Path{}, fmt.Errorf("path '%s' is not a valid store path: it is too short for a hash and a name", s)
	}
	for i := range hashLen {
		if !inHash[s[i]] {
			return Path{}, fmt.Errorf("path '%s' is not a valid store path: it contains illegal base-32 character '%c'", s, s[i])
		}
	}
	if err := CheckName(s[hashLen+1:]); err != nil {
		return Path{}, fmt.Errorf("path '%s' is not a valid store path: %w", s, err)
	}
	return Path{s}, nil
}

// CheckName reports what keeps a string from being the name of a store object.
// The rules are those of Nix 2.34.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("name must not be empty")
	case len(name) > maxNameLen:
		return fmt.Errorf("name '%s' must be no longer than %d characters", name, maxNameLen)
	case name == "." || strings.HasPrefix(name, ".-"):
		return fmt.Errorf("name '%s' is not valid: first dash-separated component must not be '.'", name)
	case name == ".." || strings.HasPrefix(name, "..-"):
		return fmt.Errorf("name '%s' is not valid: first dash-separated component must not be '..'", name)
	}
	for i := range len(name) {
		if !inName[name[i]] {
			return fmt.Errorf("name '%s' contains illegal character %q", name, name[i])
		}
	}
	return nil
}

// Clone is the same path with a text of its own: one that was read is a part of
// what was read with it, and keeps all of that.
func (p Path) Clone() Path { return Path{strings.Clone(p.base)} }

func (p Path) Base() string                 { return p.base }
func (p Path) String() string               { return p.base }
func (p Path) IsZero() bool                 { return p.base == "" }
func (p Path) HashPart() string             { return p.base[:hashLen] }
func (p Path) Name() string                 { return p.base[hashLen+1:] }
func (p Path) IsDerivation() bool           { return strings.HasSuffix(p.base, drvSuffix) }
func (p Path) Compare(q Path) int           { return cmp.Compare(p.base, q.base) }
func (p Path) MarshalText() ([]byte, error) { return []byte(p.base), nil }

// UnmarshalText reads what [ParseBase] reads; nothing is the zero path.
func (p *Path) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*p = Path{}
		return nil
	}
	parsed, err := ParseBase(string(b))
	*p = parsed
	return err
}

// Dir is a store directory: absolute, clean, and not the root.
type Dir string

// ParseDir reads a store directory.
func ParseDir(s string) (Dir, error) {
	if !path.IsAbs(s) || path.Clean(s) != s || s == "/" {
		return "", fmt.Errorf("store directory '%s' is not an absolute path in its shortest form", s)
	}
	return Dir(s), nil
}

// Join is the absolute path of a store object.
func (d Dir) Join(p Path) string { return string(d) + "/" + p.base }

// Parse reads the absolute path of a store object, and nothing below it.
func (d Dir) Parse(s string) (Path, error) {
	p, rest, err := d.ParseInside(s)
	if err == nil && rest != "" {
		return Path{}, fmt.Errorf("path '%s' is not a store path", s)
	}
	return p, err
}

// ParseInside reads an absolute path in or below a store object; rest is empty
// or starts with "/".
func (d Dir) ParseInside(s string) (p Path, rest string, err error) {
	below, ok := strings.CutPrefix(s, string(d)+"/")
	if !ok {
		return Path{}, "", fmt.Errorf("path '%s' is not in the store '%s'", s, d)
	}
	if i := strings.IndexByte(below, '/'); i >= 0 {
		below, rest = below[:i], below[i:]
	}
	p, err = ParseBase(below)
	return p, rest, err
}
