package workerproto

import (
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/realisation"
	"troupe/storage/storepath"
)

// DrvOutput names an output of a derivation: by the hash of the derivation
// modulo its fixed inputs, or, with [RealisationWithPath], by its path.
type DrvOutput struct {
	Hash   nixhash.Hash
	Drv    storepath.Path
	Output string
}

// String is "sha256:<base 16>!<output>", or "<derivation>!<output>".
func (o DrvOutput) String() string {
	if o.Hash.IsZero() {
		return o.Drv.Base() + "!" + o.Output
	}
	return o.Hash.Algorithm().String() + ":" + o.Hash.Base16() + "!" + o.Output
}

// ParseDrvOutput reads "sha256:<base 16>!<output>".
func ParseDrvOutput(s string) (DrvOutput, error) {
	id, err := realisation.ParseID(s)
	return DrvOutput{Hash: id.Hash, Output: id.Output}, err
}

// Realisation says where an output lies.
type Realisation struct {
	ID         DrvOutput
	OutPath    storepath.Path
	Signatures []string // sorted
	// Dependent are realisations that this one was made with: none from Nix 2.34
	// on, and none with [RealisationWithPath].
	Dependent map[string]storepath.Path
}

func (r Realisation) compare(b Realisation) int { return strings.Compare(r.ID.String(), b.ID.String()) }

// JSON is the realisation as it travels without [RealisationWithPath].
func (r Realisation) JSON() (string, error) {
	return realisation.Realisation{ID: realisation.ID{Hash: r.ID.Hash, Output: r.ID.Output}, Path: r.OutPath,
		Signatures: r.Signatures, Dependent: r.Dependent}.JSON()
}

// ParseRealisation reads what [Realisation.JSON] writes.
func ParseRealisation(s string) (Realisation, error) {
	r, err := realisation.Parse([]byte(s))
	return Realisation{ID: DrvOutput{Hash: r.ID.Hash, Output: r.ID.Output}, OutPath: r.Path, Signatures: r.Signatures, Dependent: r.Dependent}, err
}

func (f *form) realisationJSON(field string, r *Realisation) {
	s := ""
	if !f.reading() {
		var err error
		s, err = r.JSON()
		f.fail(field, err)
	}
	f.text(field, &s, maxJSON)
	if f.reading() && !f.failed() {
		v, err := ParseRealisation(s)
		*r = v
		f.fail(field, err)
	}
}

// unkeyed is a realisation without its name, with [RealisationWithPath].
func (r *Realisation) unkeyed(f *form) {
	f.path("out path", &r.OutPath)
	f.names("signatures", &r.Signatures)
}

func (f *form) drvOutput(field string, o *DrvOutput) {
	if f.Has(RealisationWithPath) {
		f.path(field, &o.Drv)
		f.storeName("output name", &o.Output)
		return
	}
	parsed(f, field, o, maxPath, DrvOutput.String, ParseDrvOutput)
}

// builtOutputs is a map: from the name of the output with [RealisationWithPath],
// otherwise from its whole name, which the value has too.
func (f *form) builtOutputs(p *[]Realisation) {
	set(f, "built outputs", p, Realisation.compare, func(field string, r *Realisation) {
		if f.Has(RealisationWithPath) {
			f.storeName("output name", &r.ID.Output)
			r.unkeyed(f)
			return
		}
		key := r.ID
		f.drvOutput(field, &key)
		f.realisationJSON(field, r)
	})
}

// RegisterDrvOutput records where an output lies.
type RegisterDrvOutput struct {
	noStream
	Realisation Realisation
}

func (*RegisterDrvOutput) Op() Op       { return OpRegisterDrvOutput }
func (*RegisterDrvOutput) reply() Reply { return new(Nothing) }

func (q *RegisterDrvOutput) walk(f *form) {
	switch r := &q.Realisation; {
	case f.Has(RealisationWithPath):
		f.drvOutput("derivation", &r.ID)
		r.unkeyed(f)
	case f.Version.AtLeast(31):
		f.realisationJSON("realisation", r)
	default:
		f.drvOutput("id", &r.ID)
		f.base("out path", &r.OutPath)
	}
}

// QueryRealisation asks where an output lies.
type QueryRealisation struct {
	noStream
	ID DrvOutput
}

func (*QueryRealisation) Op() Op       { return OpQueryRealisation }
func (*QueryRealisation) reply() Reply { return new(OptionalRealisation) }

func (q *QueryRealisation) walk(f *form) { f.drvOutput("id", &q.ID) }

// OptionalRealisation answers [QueryRealisation]: nil where it is not known. The
// ID is on the wire from 1.31 without [RealisationWithPath]; below 1.31 only the
// path is.
type OptionalRealisation struct{ Realisation *Realisation }

func (p *OptionalRealisation) walk(f *form) {
	if f.Has(RealisationWithPath) {
		optional(f, "known", &p.Realisation, func(r *Realisation) { r.unkeyed(f) })
		return
	}
	var all []Realisation
	if p.Realisation != nil {
		all = append(all, *p.Realisation)
	}
	list(f, "realisations", &all, 8, func(field string, r *Realisation) {
		if f.Version.AtLeast(31) {
			f.realisationJSON(field, r)
		} else {
			f.path(field, &r.OutPath)
		}
	})
	if f.reading() && len(all) > 0 {
		p.Realisation = &all[0]
	}
}
