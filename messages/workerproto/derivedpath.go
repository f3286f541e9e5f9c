package workerproto

import (
	"fmt"
	"slices"
	"strings"

	"troupe/storage/storepath"
)

// AllOutputs, as the only output of a [DerivedPath], stands for every one.
const AllOutputs = "*"

// DerivedPath is what a client wants to be valid: outputs of a derivation, or,
// where Outputs is empty, a store path as it is.
type DerivedPath struct {
	Path    storepath.Path
	Outputs []string // sorted; or [AllOutputs] alone
	// Through leads to a derivation that is itself an output: of Path, its
	// output Through[0], of that its output Through[1], … has Outputs.
	Through []string
}

// separators come before outputs: the first in the protocol, the other on
// command lines. Neither can be in a store path.
const separators = "!^"

// Format writes the path as it travels from 1.30 on: "<path>", "<path>!*" or
// "<path>!out,dev"; "<path>!out!out2" through another derivation.
func (p DerivedPath) Format(d storepath.Dir) string {
	s := d.Join(p.Path)
	for _, through := range p.Through {
		s += separators[:1] + through
	}
	if len(p.Outputs) > 0 {
		s += separators[:1] + strings.Join(p.Outputs, ",")
	}
	return s
}

// ParseDerivedPath reads what [DerivedPath.Format] writes, with "!" or "^".
func ParseDerivedPath(d storepath.Dir, s string) (p DerivedPath, err error) {
	end := strings.IndexAny(s, separators)
	if end < 0 {
		p.Path, err = d.Parse(s)
		return p, err
	}
	if p.Path, err = d.Parse(s[:end]); err != nil {
		return p, err
	}
	for rest := s[end+1:]; ; rest = rest[end+1:] {
		if end = strings.IndexAny(rest, separators); end < 0 {
			p.Outputs, err = parseOutputs(rest)
			break
		}
		if err := storepath.CheckName(rest[:end]); err != nil {
			return p, fmt.Errorf("output of '%s': %w", s, err)
		}
		p.Through = append(p.Through, rest[:end])
	}
	if err == nil && !p.Path.IsDerivation() {
		err = fmt.Errorf("'%s' has outputs and is no derivation", p.Path)
	}
	return p, err
}

func parseOutputs(s string) ([]string, error) {
	if s == AllOutputs {
		return []string{AllOutputs}, nil
	}
	var outputs []string
	for name := range strings.SplitSeq(s, ",") {
		if err := storepath.CheckName(name); err != nil {
			return nil, fmt.Errorf("outputs '%s': %w", s, err)
		}
		outputs = append(outputs, name)
	}
	return sortedSet(outputs, strings.Compare), nil
}

// oldFormat is how it travels below 1.30: a derivation alone stands for all its
// outputs, so that the derivation itself cannot be asked for.
func (p DerivedPath) oldFormat(d storepath.Dir) (string, error) {
	all := slices.Equal(p.Outputs, []string{AllOutputs})
	switch {
	case len(p.Through) > 0:
		return "", &UnsupportedError{"an output of a dynamic derivation in a version before 1.30"}
	case len(p.Outputs) == 0 && p.Path.IsDerivation():
		return "", &UnsupportedError{"a derivation as it is in a version before 1.30"}
	case all:
		return d.Join(p.Path), nil
	}
	return p.Format(d), nil
}

func parseOldDerivedPath(d storepath.Dir, s string) (DerivedPath, error) {
	p, err := ParseDerivedPath(d, s)
	if err == nil && len(p.Through) > 0 {
		err = fmt.Errorf("'%s' has outputs of outputs in a version before 1.30", s)
	}
	if err == nil && len(p.Outputs) == 0 && p.Path.IsDerivation() {
		p.Outputs = []string{AllOutputs}
	}
	return p, err
}

func (f *form) derivedPath(field string, p *DerivedPath) {
	s := ""
	old := !f.Version.AtLeast(30)
	if !f.reading() {
		s = p.Format(f.Dir)
		if old {
			var err error
			s, err = p.oldFormat(f.Dir)
			f.fail(field, err)
		}
	}
	f.longText(field, &s)
	if !f.reading() || f.failed() {
		return
	}
	parse := ParseDerivedPath
	if old {
		parse = parseOldDerivedPath
	}
	v, err := parse(f.Dir, s)
	*p = v
	f.fail(field, err)
}
