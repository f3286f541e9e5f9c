package derivation

import (
	"maps"
	"slices"
	"strings"

	"troupe/storage/storepath"
)

// The two ways in which a derivation file begins.
const (
	opening        = "Derive("
	dynamicVersion = "xp-dyn-drv"
	dynamicOpening = `DrvWithVersion("` + dynamicVersion + `",`
)

// Print writes the derivation byte for byte as Nix does.
func (d *Derivation) Print(dir storepath.Dir) []byte {
	inputs := make([]printedInput, len(d.Inputs))
	for i, in := range d.Inputs {
		inputs[i] = printedInput{dir.Join(in.Path), in.Wanted}
	}
	return d.print(dir, inputs, false)
}

// printedInput is an input under the name that it is printed by: its path, or,
// for hashing, what stands for it.
type printedInput struct {
	name string
	Wanted
}

func (d *Derivation) print(dir storepath.Dir, inputs []printedInput, maskOutputs bool) []byte {
	p := printer{dir: dir, buf: make([]byte, 0, d.sizeHint())}
	if p.dynamic = d.IsDynamic(); p.dynamic {
		p.raw(dynamicOpening)
	} else {
		p.raw(opening)
	}
	p.list(len(d.Outputs), func(i int) { p.output(d.Outputs[i], maskOutputs) })
	p.raw(",")
	p.list(len(inputs), func(i int) { p.input(inputs[i]) })
	p.raw(",")
	p.list(len(d.Sources), func(i int) { p.plain(dir.Join(d.Sources[i])) })
	p.raw(",")
	p.escaped(d.Platform)
	p.raw(",")
	p.escaped(d.Builder)
	p.raw(",")
	p.list(len(d.Args), func(i int) { p.escaped(d.Args[i]) })
	p.raw(",")
	names := slices.Sorted(maps.Keys(d.Env))
	p.list(len(names), func(i int) {
		p.raw("(")
		p.escaped(names[i])
		p.raw(",")
		if _, isOutput := d.Output(names[i]); maskOutputs && isOutput {
			p.raw(`""`)
		} else {
			p.escaped(d.Env[names[i]])
		}
		p.raw(")")
	})
	p.raw(")")
	return p.buf
}

// sizeHint is about how long the printed form is.
func (d *Derivation) sizeHint() int {
	n := 256 + 100*(len(d.Inputs)+len(d.Sources)+len(d.Outputs))
	for k, v := range d.Env {
		n += len(k) + len(v) + len(v)/16 + 8
	}
	return n
}

type printer struct {
	dir     storepath.Dir
	dynamic bool
	buf     []byte
}

func (p *printer) raw(s string) { p.buf = append(p.buf, s...) }

// plain prints what is known to have nothing to escape.
func (p *printer) plain(s string) { p.raw(`"` + s + `"`) }

func (p *printer) list(n int, item func(int)) {
	p.raw("[")
	for i := range n {
		if i > 0 {
			p.raw(",")
		}
		item(i)
	}
	p.raw("]")
}

func (p *printer) output(o Output, mask bool) {
	path := ""
	if !o.Path.IsZero() && !mask {
		path = p.dir.Join(o.Path)
	}
	algorithm, hash := o.Words()
	p.raw("(")
	p.escaped(o.Name)
	for _, s := range []string{path, algorithm, hash} {
		p.raw(",")
		p.plain(s)
	}
	p.raw(")")
}

// Words are how the method and algorithm of an output, and its hash, are written;
// [MakeOutput] reads them.
func (o Output) Words() (algorithm, hash string) {
	switch o.Kind {
	case Fixed:
		return o.Method.Prefix() + o.Algorithm.String(), o.Hash.Base16()
	case Floating:
		return o.Method.Prefix() + o.Algorithm.String(), ""
	case Impure:
		return o.Method.Prefix() + o.Algorithm.String(), "impure"
	}
	return "", ""
}

func (p *printer) input(in printedInput) {
	p.raw("(")
	p.plain(in.name)
	p.raw(",")
	p.wanted(in.Wanted)
	p.raw(")")
}

func (p *printer) wanted(w Wanted) {
	if !p.dynamic || len(w.Dynamic) == 0 {
		p.list(len(w.Outputs), func(i int) { p.escaped(w.Outputs[i]) })
		return
	}
	p.raw("(")
	p.list(len(w.Outputs), func(i int) { p.escaped(w.Outputs[i]) })
	p.raw(",")
	p.list(len(w.Dynamic), func(i int) {
		p.raw("(")
		p.escaped(w.Dynamic[i].Output)
		p.raw(",")
		p.wanted(w.Dynamic[i].Wanted)
		p.raw(")")
	})
	p.raw(")")
}

func (p *printer) escaped(s string) {
	p.buf = append(p.buf, '"')
	for {
		i := strings.IndexAny(s, "\"\\\n\r\t")
		if i < 0 {
			break
		}
		p.buf = append(p.buf, s[:i]...)
		switch s[i] {
		case '\n':
			p.raw(`\n`)
		case '\r':
			p.raw(`\r`)
		case '\t':
			p.raw(`\t`)
		default:
			p.buf = append(p.buf, '\\', s[i])
		}
		s = s[i+1:]
	}
	p.buf = append(p.buf, s...)
	p.buf = append(p.buf, '"')
}
