package workerproto

import (
	"strings"

	"troupe/storage/derivation"
	"troupe/storage/storepath"
)

// BuildDerivation builds a derivation that need not be in the store. Its Inputs
// do not travel: all that it reads is among its Sources.
type BuildDerivation struct {
	noStream
	Path       storepath.Path
	Derivation derivation.Derivation
	Mode       BuildMode
}

func (*BuildDerivation) Op() Op       { return OpBuildDerivation }
func (*BuildDerivation) reply() Reply { return new(BuildResult) }

func (q *BuildDerivation) walk(f *form) {
	f.path("path", &q.Path)
	d := &q.Derivation
	if f.reading() && !f.failed() {
		d.Name = strings.TrimSuffix(q.Path.Name(), ".drv")
	}
	set(f, "outputs", &d.Outputs, compareOutputs, f.output)
	f.paths("sources", &d.Sources)
	f.shortText("platform", &d.Platform)
	f.longText("builder", &d.Builder)
	list(f, "arguments", &d.Args, 8, f.longText)
	f.dictionary("environment", &d.Env)
	f.buildMode(&q.Mode)
}

func compareOutputs(a, b derivation.Output) int { return strings.Compare(a.Name, b.Name) }

func (f *form) output(field string, o *derivation.Output) {
	name, path := o.Name, o.Path
	algorithm, hash := o.Words()
	f.storeName("name of output", &name)
	f.optionalPath("path of output "+name, &path)
	f.shortText("hash algorithm of output "+name, &algorithm)
	f.shortText("hash of output "+name, &hash)
	if f.reading() && !f.failed() {
		var err error
		*o, err = derivation.MakeOutput(name, path, algorithm, hash)
		f.fail("output "+name, err)
	}
}
