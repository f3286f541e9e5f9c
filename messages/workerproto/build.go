package workerproto

import (
	"fmt"
	"math"
	"time"

	"troupe/storage/storepath"
)

// BuildMode says what is done with outputs that are valid.
type BuildMode uint8

const (
	BuildNormal BuildMode = iota
	BuildRepair           // build again if their contents are not what is recorded
	BuildCheck            // build again and compare
)

func (m BuildMode) String() string {
	if m > BuildCheck {
		return fmt.Sprintf("mode %d", uint8(m))
	}
	return [...]string{"normal", "repair", "check"}[m]
}

func (f *form) buildMode(m *BuildMode) { f.small("mode", (*uint8)(m), uint64(BuildCheck)) }

// BuildPaths makes paths valid. Whatever fails is an error of the whole.
type BuildPaths struct {
	noStream
	Paths []DerivedPath
	Mode  BuildMode
}

func (*BuildPaths) Op() Op       { return OpBuildPaths }
func (*BuildPaths) reply() Reply { return new(One) }

func (q *BuildPaths) walk(f *form) {
	list(f, "paths", &q.Paths, 8, f.derivedPath)
	f.buildMode(&q.Mode)
}

// BuildPathsWithResults makes paths valid and tells how each went.
type BuildPathsWithResults BuildPaths

func (*BuildPathsWithResults) Op() Op         { return OpBuildPathsWithResults }
func (*BuildPathsWithResults) reply() Reply   { return new(KeyedBuildResults) }
func (q *BuildPathsWithResults) walk(f *form) { (*BuildPaths)(q).walk(f) }

// EnsurePath makes a path valid, by substitution.
type EnsurePath struct {
	noStream
	Path storepath.Path
}

func (*EnsurePath) Op() Op       { return OpEnsurePath }
func (*EnsurePath) reply() Reply { return new(One) }

func (q *EnsurePath) walk(f *form) { f.path("path", &q.Path) }

// BuildResult is how the build of a derivation ended. It answers
// [BuildDerivation].
type BuildResult struct {
	// Status has the numbers of the messages' Status: 0 built, 1 substituted, 2
	// already valid, 3 permanent failure …
	Status uint8
	Error  string // for people

	// From 1.29.
	TimesBuilt       uint64
	NonDeterministic bool
	Start, Stop      int64 // seconds since 1970; 0 where nothing was built

	// From 1.37; nil where unknown. They travel in microseconds.
	UserCPU, SystemCPU *time.Duration

	// BuiltOutputs, from 1.28, are sorted by output; there are none of a failure.
	BuiltOutputs []Realisation
}

func (b *BuildResult) walk(f *form) {
	f.small("status", &b.Status, 0xff)
	f.longText("error", &b.Error)
	if f.Version.AtLeast(29) {
		f.integer("times built", &b.TimesBuilt)
		f.boolean("non-deterministic", &b.NonDeterministic)
		f.seconds("start", &b.Start)
		f.seconds("stop", &b.Stop)
	}
	if f.Version.AtLeast(37) {
		optional(f, "user cpu", &b.UserCPU, func(d *time.Duration) { f.microseconds("user cpu", d) })
		optional(f, "system cpu", &b.SystemCPU, func(d *time.Duration) { f.microseconds("system cpu", d) })
	}
	if f.Version.AtLeast(28) {
		f.builtOutputs(&b.BuiltOutputs)
	}
}

func (f *form) microseconds(field string, d *time.Duration) {
	n := uint64(d.Microseconds())
	f.integer(field, &n)
	if n > uint64(math.MaxInt64/time.Microsecond) {
		f.fail(field, fmt.Errorf("%d microseconds are out of range", n))
	}
	if f.reading() {
		*d = time.Duration(n) * time.Microsecond
	}
}

// KeyedBuildResults answers [BuildPathsWithResults]: one result for each path,
// in the order asked.
type KeyedBuildResults struct{ Results []KeyedBuildResult }

// KeyedBuildResult is a result and what it is of, as it was asked for.
type KeyedBuildResult struct {
	Path   DerivedPath
	Result BuildResult
}

func (p *KeyedBuildResults) walk(f *form) {
	list(f, "results", &p.Results, 24, func(_ string, k *KeyedBuildResult) {
		f.derivedPath("path", &k.Path)
		k.Result.walk(f)
	})
}

// AddTempRoot keeps a path, which need not be valid, for as long as the
// connection lasts.
type AddTempRoot struct {
	noStream
	Path storepath.Path
}

func (*AddTempRoot) Op() Op       { return OpAddTempRoot }
func (*AddTempRoot) reply() Reply { return new(One) }

func (q *AddTempRoot) walk(f *form) { f.path("path", &q.Path) }
