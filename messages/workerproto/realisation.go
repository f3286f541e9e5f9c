package workerproto

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"troupe/storage/nixhash"
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
func ParseDrvOutput(s string) (o DrvOutput, err error) {
	hash, output, ok := strings.Cut(s, "!")
	if !ok {
		return o, fmt.Errorf("'%s' names no output of a derivation", shown(s))
	}
	if err := storepath.CheckName(output); err != nil {
		return o, fmt.Errorf("output of '%s': %w", shown(s), err)
	}
	if o.Hash, err = nixhash.Parse(hash, nixhash.SHA256); err != nil {
		return DrvOutput{}, err
	}
	o.Output = output
	return o, nil
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

// realisationJSON has its fields in the order in which Nix writes them.
type realisationJSON struct {
	Dependent  map[string]storepath.Path `json:"dependentRealisations"`
	ID         string                    `json:"id"`
	OutPath    storepath.Path            `json:"outPath"`
	Signatures []string                  `json:"signatures"`
}

// JSON is the realisation as it travels without [RealisationWithPath].
func (r Realisation) JSON() (string, error) {
	j := realisationJSON{r.Dependent, r.ID.String(), r.OutPath, r.Signatures}
	if j.Dependent == nil {
		j.Dependent = map[string]storepath.Path{}
	}
	if j.Signatures == nil {
		j.Signatures = []string{}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(j)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// ParseRealisation reads what [Realisation.JSON] writes; an object with more
// members, or without dependentRealisations, too.
func ParseRealisation(s string) (r Realisation, err error) {
	var j realisationJSON
	if err := json.Unmarshal([]byte(s), &j); err != nil {
		return r, fmt.Errorf("parse realisation: %w", err)
	}
	if r.ID, err = ParseDrvOutput(j.ID); err != nil {
		return r, fmt.Errorf("parse realisation: %w", err)
	}
	if j.OutPath.IsZero() {
		return r, fmt.Errorf("parse realisation '%v': it has no outPath", r.ID)
	}
	for id, p := range j.Dependent {
		if _, err := ParseDrvOutput(id); err != nil {
			return r, fmt.Errorf("parse realisation '%v': dependentRealisations: %w", r.ID, err)
		}
		if p.IsZero() {
			return r, fmt.Errorf("parse realisation '%v': dependentRealisations: '%s' has no path", r.ID, id)
		}
	}
	r.OutPath = j.OutPath
	if len(j.Dependent) > 0 {
		r.Dependent = j.Dependent
	}
	if len(j.Signatures) > 0 {
		r.Signatures = sortedSet(j.Signatures, strings.Compare)
	}
	return r, nil
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
