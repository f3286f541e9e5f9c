package workerproto

import (
	"strings"

	"troupe/storage/storepath"
)

// noArguments is for operations that have none.
type noArguments struct{ noStream }

func (noArguments) walk(*form) {}

// IsValidPath asks whether a path is valid.
type IsValidPath struct {
	noStream
	Path storepath.Path
}

// QueryReferrers asks for the valid paths that refer to a path.
type QueryReferrers struct {
	noStream
	Path storepath.Path
}

// QueryDeriver asks for the derivation that made a path. Obsolete.
type QueryDeriver struct {
	noStream
	Path storepath.Path
}

// QueryDerivationOutputs asks for the paths of a derivation's outputs. Obsolete.
type QueryDerivationOutputs struct {
	noStream
	Path storepath.Path
}

// QueryDerivationOutputNames asks for the names of a derivation's outputs.
// Obsolete.
type QueryDerivationOutputNames struct {
	noStream
	Path storepath.Path
}

// QueryDerivationOutputMap asks for a derivation's outputs.
type QueryDerivationOutputMap struct {
	noStream
	Path storepath.Path
}

// QueryPathInfo asks for all that is recorded of a path.
type QueryPathInfo struct {
	noStream
	Path storepath.Path
}

// QueryValidDerivers asks for the valid derivations that a path is an output of.
type QueryValidDerivers struct {
	noStream
	Path storepath.Path
}

// QuerySubstitutablePathInfo asks what substituters know of a path. Obsolete.
type QuerySubstitutablePathInfo struct {
	noStream
	Path storepath.Path
}

// NarFromPath asks for the archive of a path, which follows [Last] as it is:
// the reply itself is empty. An error in mid-archive can only close the
// connection.
type NarFromPath struct {
	noStream
	Path storepath.Path
}

// QueryAllValidPaths asks for every valid path.
type QueryAllValidPaths struct{ noArguments }

// QueryPathFromHashPart asks for the valid path with a hash part.
type QueryPathFromHashPart struct {
	noStream
	HashPart string
}

// QueryValidPaths asks which of some paths are valid.
type QueryValidPaths struct {
	noStream
	Paths      []storepath.Path
	Substitute bool // first; from 1.27
}

// QuerySubstitutablePaths asks which of some paths substituters have.
type QuerySubstitutablePaths struct {
	noStream
	Paths []storepath.Path
}

// QuerySubstitutablePathInfos asks what substituters know of some paths.
type QuerySubstitutablePathInfos struct {
	noStream
	Paths []AddressedPath // sorted
}

// AddressedPath is a path and its content address, or "".
type AddressedPath struct {
	Path storepath.Path
	CA   string // from 1.22
}

// QueryMissing asks what building some paths would take.
type QueryMissing struct {
	noStream
	Paths []DerivedPath
}

func (*IsValidPath) Op() Op                 { return OpIsValidPath }
func (*QueryReferrers) Op() Op              { return OpQueryReferrers }
func (*QueryDeriver) Op() Op                { return OpQueryDeriver }
func (*QueryDerivationOutputs) Op() Op      { return OpQueryDerivationOutputs }
func (*QueryDerivationOutputNames) Op() Op  { return OpQueryDerivationOutputNames }
func (*QueryDerivationOutputMap) Op() Op    { return OpQueryDerivationOutputMap }
func (*QueryPathInfo) Op() Op               { return OpQueryPathInfo }
func (*QueryValidDerivers) Op() Op          { return OpQueryValidDerivers }
func (*QuerySubstitutablePathInfo) Op() Op  { return OpQuerySubstitutablePathInfo }
func (*NarFromPath) Op() Op                 { return OpNarFromPath }
func (*QueryAllValidPaths) Op() Op          { return OpQueryAllValidPaths }
func (*QueryPathFromHashPart) Op() Op       { return OpQueryPathFromHashPart }
func (*QueryValidPaths) Op() Op             { return OpQueryValidPaths }
func (*QuerySubstitutablePaths) Op() Op     { return OpQuerySubstitutablePaths }
func (*QuerySubstitutablePathInfos) Op() Op { return OpQuerySubstitutablePathInfos }
func (*QueryMissing) Op() Op                { return OpQueryMissing }

func (*IsValidPath) reply() Reply                 { return new(Bool) }
func (*QueryReferrers) reply() Reply              { return new(Paths) }
func (*QueryDeriver) reply() Reply                { return new(OptionalPath) }
func (*QueryDerivationOutputs) reply() Reply      { return new(Paths) }
func (*QueryDerivationOutputNames) reply() Reply  { return new(Names) }
func (*QueryDerivationOutputMap) reply() Reply    { return new(OutputMap) }
func (*QueryPathInfo) reply() Reply               { return new(OptionalPathInfo) }
func (*QueryValidDerivers) reply() Reply          { return new(Paths) }
func (*QuerySubstitutablePathInfo) reply() Reply  { return new(OptionalSubstitutable) }
func (*NarFromPath) reply() Reply                 { return new(Nothing) }
func (*QueryAllValidPaths) reply() Reply          { return new(Paths) }
func (*QueryPathFromHashPart) reply() Reply       { return new(OptionalPath) }
func (*QueryValidPaths) reply() Reply             { return new(Paths) }
func (*QuerySubstitutablePaths) reply() Reply     { return new(Paths) }
func (*QuerySubstitutablePathInfos) reply() Reply { return new(Substitutables) }
func (*QueryMissing) reply() Reply                { return new(Missing) }

func (q *IsValidPath) walk(f *form)                { f.path("path", &q.Path) }
func (q *QueryReferrers) walk(f *form)             { f.path("path", &q.Path) }
func (q *QueryDeriver) walk(f *form)               { f.path("path", &q.Path) }
func (q *QueryDerivationOutputs) walk(f *form)     { f.path("path", &q.Path) }
func (q *QueryDerivationOutputNames) walk(f *form) { f.path("path", &q.Path) }
func (q *QueryDerivationOutputMap) walk(f *form)   { f.path("path", &q.Path) }
func (q *QueryPathInfo) walk(f *form)              { f.path("path", &q.Path) }
func (q *QueryValidDerivers) walk(f *form)         { f.path("path", &q.Path) }
func (q *QuerySubstitutablePathInfo) walk(f *form) { f.path("path", &q.Path) }
func (q *NarFromPath) walk(f *form)                { f.path("path", &q.Path) }
func (q *QueryPathFromHashPart) walk(f *form)      { f.shortText("hash part", &q.HashPart) }

func (q *QueryValidPaths) walk(f *form) {
	f.paths("paths", &q.Paths)
	if f.Version.AtLeast(27) {
		f.boolean("substitute", &q.Substitute)
	}
}

func (q *QuerySubstitutablePaths) walk(f *form) { f.paths("paths", &q.Paths) }

func (q *QuerySubstitutablePathInfos) walk(f *form) {
	set(f, "paths", &q.Paths, AddressedPath.compare, func(field string, p *AddressedPath) {
		f.path(field, &p.Path)
		if f.Version.AtLeast(22) {
			f.contentAddress("content address", &p.CA)
		}
	})
}

func (a AddressedPath) compare(b AddressedPath) int { return a.Path.Compare(b.Path) }

func (q *QueryMissing) walk(f *form) { list(f, "paths", &q.Paths, 8, f.derivedPath) }

// Missing answers [QueryMissing].
type Missing struct {
	WillBuild, WillSubstitute, Unknown []storepath.Path // sorted
	DownloadSize, NarSize              uint64           // bytes
}

func (p *Missing) walk(f *form) {
	f.paths("will build", &p.WillBuild)
	f.paths("will substitute", &p.WillSubstitute)
	f.paths("unknown", &p.Unknown)
	f.integer("download size", &p.DownloadSize)
	f.integer("nar size", &p.NarSize)
}

// OutputMap answers [QueryDerivationOutputMap].
type OutputMap struct{ Outputs []Output } // sorted by name

// Output is an output of a derivation; its path is zero where it is not known
// before the build.
type Output struct {
	Name string
	Path storepath.Path
}

func (o Output) compare(b Output) int { return strings.Compare(o.Name, b.Name) }

func (p *OutputMap) walk(f *form) {
	set(f, "outputs", &p.Outputs, Output.compare, func(_ string, o *Output) {
		f.shortText("output", &o.Name)
		f.optionalPath("path of output", &o.Path)
	})
}

// Substitutable is what a substituter knows of a path; sizes are in bytes, 0
// where unknown.
type Substitutable struct {
	Path         storepath.Path // not in an [OptionalSubstitutable]
	Deriver      storepath.Path // zero where unknown
	References   []storepath.Path
	DownloadSize uint64
	NarSize      uint64
}

func (s *Substitutable) walk(f *form) {
	f.optionalPath("deriver", &s.Deriver)
	f.paths("references", &s.References)
	f.integer("download size", &s.DownloadSize)
	f.integer("nar size", &s.NarSize)
}

// OptionalSubstitutable answers [QuerySubstitutablePathInfo]; nil where no
// substituter has the path.
type OptionalSubstitutable struct{ Info *Substitutable }

func (p *OptionalSubstitutable) walk(f *form) {
	optional(f, "present", &p.Info, func(s *Substitutable) { s.walk(f) })
}

// Substitutables answers [QuerySubstitutablePathInfos].
type Substitutables struct{ Infos []Substitutable }

func (p *Substitutables) walk(f *form) {
	list(f, "infos", &p.Infos, 40, func(_ string, s *Substitutable) {
		f.path("path", &s.Path)
		s.walk(f)
	})
}
