package derivation

import (
	"bytes"
	"fmt"
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// SyntaxError says where the text of a derivation is wrong.
type SyntaxError struct {
	Name   string // of the derivation
	Offset int    // in bytes
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("parse derivation '%s': byte %d: %s", e.Name, e.Offset, e.Reason)
}

// Parse reads a derivation of the given name (without ".drv") whose paths are
// in dir. It takes only what [Derivation.Print] gives back byte for byte, as
// the file's hash is what its path is made of.
func Parse(dir storepath.Dir, name string, data []byte) (d *Derivation, err error) {
	p := &parser{dir: dir, rest: data}
	defer func() {
		if r := recover(); r != nil {
			e, ours := r.(parseError)
			if !ours {
				panic(r)
			}
			d, err = nil, &SyntaxError{Name: name, Offset: len(data) - len(p.rest), Reason: string(e)}
		}
	}()
	d = p.derivation()
	d.Name = name
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("parse derivation '%s': %w", name, err)
	}
	if at := firstDifference(d.Print(dir), data); at >= 0 {
		return nil, &SyntaxError{Name: name, Offset: at, Reason: "it is not written as Nix writes it"}
	}
	return d, nil
}

func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// parser reads an ATerm. It gives up by a panic with a parseError, which
// [Parse] catches.
type parser struct {
	dir     storepath.Dir
	rest    []byte
	dynamic bool
	depth   int
}

type parseError string

// maxDepth bounds how deep dynamic outputs are nested.
const maxDepth = 64

func (p *parser) fail(format string, args ...any) { panic(parseError(fmt.Sprintf(format, args...))) }

func (p *parser) derivation() *Derivation {
	if p.dynamic = bytes.HasPrefix(p.rest, []byte("DrvWithVersion(")); p.dynamic {
		p.expect("DrvWithVersion(")
		if v := p.string(); v != dynamicVersion {
			p.fail("unknown derivation version %q", v)
		}
		p.expect(",")
	} else {
		p.expect(opening)
	}
	d := &Derivation{Env: map[string]string{}}
	p.list(func() { d.Outputs = append(d.Outputs, p.output()) })
	p.expect(",")
	p.list(func() { d.Inputs = append(d.Inputs, p.input()) })
	p.expect(",")
	p.list(func() { d.Sources = append(d.Sources, p.path(p.string())) })
	p.expect(",")
	d.Platform = p.string()
	p.expect(",")
	d.Builder = p.string()
	p.expect(",")
	p.list(func() { d.Args = append(d.Args, p.string()) })
	p.expect(",")
	p.list(func() { p.variable(d) })
	p.expect(")")
	if len(p.rest) > 0 {
		p.fail("something follows the derivation")
	}
	p.sorted(d)
	return d
}

func (p *parser) variable(d *Derivation) {
	p.expect("(")
	name := p.string()
	p.expect(",")
	if _, twice := d.Env[name]; twice {
		p.fail("variable %q is set twice", name)
	}
	d.Env[name] = p.string()
	p.expect(")")
}

// sorted makes sure of what a search in the lists relies on.
func (p *parser) sorted(d *Derivation) {
	for i := 1; i < len(d.Outputs); i++ {
		if d.Outputs[i-1].Name >= d.Outputs[i].Name {
			p.fail("outputs %q and %q are not in order", d.Outputs[i-1].Name, d.Outputs[i].Name)
		}
	}
	for i := 1; i < len(d.Inputs); i++ {
		if d.Inputs[i-1].Path.Compare(d.Inputs[i].Path) >= 0 {
			p.fail("inputs '%v' and '%v' are not in order", d.Inputs[i-1].Path, d.Inputs[i].Path)
		}
	}
	for i := 1; i < len(d.Sources); i++ {
		if d.Sources[i-1].Compare(d.Sources[i]) >= 0 {
			p.fail("sources '%v' and '%v' are not in order", d.Sources[i-1], d.Sources[i])
		}
	}
}

func (p *parser) output() Output {
	p.expect("(")
	name := p.string()
	p.expect(",")
	path := p.string()
	p.expect(",")
	algorithm := p.string()
	p.expect(",")
	hash := p.string()
	p.expect(")")
	var at storepath.Path
	if path != "" {
		at = p.path(path)
	}
	o, err := MakeOutput(name, at, algorithm, hash)
	if err != nil {
		p.fail("%v", err)
	}
	return o
}

// MakeOutput makes an output of how Nix writes one, in files and to its daemon:
// its path, or the zero path; its method and algorithm, for instance "r:sha256",
// or ""; and its hash, "impure", or "".
func MakeOutput(name string, path storepath.Path, algorithm, hash string) (Output, error) {
	if err := storepath.CheckName(name); err != nil {
		return Output{}, fmt.Errorf("output name: %w", err)
	}
	o := Output{Name: name, Path: path}
	if err := o.classify(algorithm, hash); err != nil {
		return Output{}, fmt.Errorf("output %q: %w", name, err)
	}
	return o, nil
}

// classify sets the kind from how the hash is written.
func (o *Output) classify(algorithm, hash string) error {
	if algorithm == "" {
		o.Kind = InputAddressed
		if o.Path.IsZero() {
			o.Kind = Deferred
		}
		if hash != "" {
			return fmt.Errorf("it has a hash and no algorithm")
		}
		return nil
	}
	var err error
	if o.Method, o.Algorithm, err = parseMethod(algorithm); err != nil {
		return err
	}
	switch {
	case hash == "impure":
		o.Kind = Impure
	case hash == "":
		o.Kind = Floating
	default:
		o.Kind = Fixed
		if o.Hash, err = nixhash.Parse(hash, o.Algorithm); err != nil {
			return err
		}
	}
	if (o.Kind == Fixed) == o.Path.IsZero() {
		return fmt.Errorf("a %v output with path '%v'", o.Kind, o.Path)
	}
	return nil
}

func parseMethod(s string) (storepath.Method, nixhash.Algorithm, error) {
	for _, m := range []storepath.Method{storepath.NAR, storepath.Text, storepath.Git} {
		if name, ok := strings.CutPrefix(s, m.Prefix()); ok {
			a, err := nixhash.ParseAlgorithm(name)
			return m, a, err
		}
	}
	a, err := nixhash.ParseAlgorithm(s)
	return storepath.Flat, a, err
}

func (p *parser) input() Input {
	p.expect("(")
	in := Input{Path: p.path(p.string())}
	if !in.Path.IsDerivation() {
		p.fail("input '%v' is no derivation", in.Path)
	}
	p.expect(",")
	in.Wanted = p.wanted()
	p.expect(")")
	return in
}

func (p *parser) wanted() (w Wanted) {
	if p.depth++; p.depth > maxDepth {
		p.fail("dynamic outputs are nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	nested := p.dynamic && len(p.rest) > 0 && p.rest[0] == '('
	if nested {
		p.expect("(")
	}
	p.list(func() { w.Outputs = append(w.Outputs, p.string()) })
	if nested {
		p.expect(",")
		p.list(func() {
			p.expect("(")
			dyn := Dynamic{Output: p.string()}
			p.expect(",")
			dyn.Wanted = p.wanted()
			p.expect(")")
			w.Dynamic = append(w.Dynamic, dyn)
		})
		p.expect(")")
	}
	return w
}

func (p *parser) path(s string) storepath.Path {
	q, err := p.dir.Parse(s)
	if err != nil {
		p.fail("%v", err)
	}
	return q
}

func (p *parser) expect(s string) {
	if !bytes.HasPrefix(p.rest, []byte(s)) {
		p.fail("expected %q, found %q", s, excerpt(p.rest))
	}
	p.rest = p.rest[len(s):]
}

// excerpt is the beginning of what is left, for an error message.
func excerpt(b []byte) []byte { return b[:min(len(b), 20)] }

func (p *parser) list(item func()) {
	p.expect("[")
	if len(p.rest) > 0 && p.rest[0] == ']' {
		p.rest = p.rest[1:]
		return
	}
	for {
		item()
		if len(p.rest) > 0 && p.rest[0] == ']' {
			p.rest = p.rest[1:]
			return
		}
		p.expect(",")
	}
}

func (p *parser) string() string {
	p.expect(`"`)
	i := bytes.IndexAny(p.rest, `"\`)
	if i >= 0 && p.rest[i] == '"' { // the common case: nothing is escaped
		s := string(p.rest[:i])
		p.rest = p.rest[i+1:]
		return s
	}
	var b []byte
	for {
		i := bytes.IndexAny(p.rest, `"\`)
		if i < 0 || (p.rest[i] == '\\' && i+1 == len(p.rest)) {
			p.fail("a string does not end")
		}
		b = append(b, p.rest[:i]...)
		if p.rest[i] == '"' {
			p.rest = p.rest[i+1:]
			return string(b)
		}
		b = append(b, unescape(p.rest[i+1]))
		p.rest = p.rest[i+2:]
	}
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
