package workerproto

import (
	"fmt"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// AddToStore adds an object whose path follows from its contents.
//
// From 1.25 the contents come framed: the bytes of the file for flat and text
// objects, an archive otherwise. Below, an archive follows as it is, of a single
// file for a flat object.
type AddToStore struct {
	Name       string
	Method     storepath.Method
	Algorithm  nixhash.Algorithm
	References []storepath.Path // from 1.25
	Repair     bool             // from 1.25
}

func (*AddToStore) Op() Op       { return OpAddToStore }
func (*AddToStore) reply() Reply { return new(AddedPath) }

func (*AddToStore) Stream(d Dialect) Stream {
	if d.Version.AtLeast(25) {
		return StreamFramed
	}
	return StreamNAR
}

// way is a method and an algorithm.
type way struct {
	method    storepath.Method
	algorithm nixhash.Algorithm
}

func (q *AddToStore) walk(f *form) {
	f.storeName("name", &q.Name)
	if !f.Version.AtLeast(25) {
		q.walkOld(f)
		return
	}
	w := way{q.Method, q.Algorithm}
	parsed(f, "method", &w, maxName, way.String, parseWay)
	f.paths("references", &q.References)
	f.boolean("repair", &q.Repair)
	if f.reading() {
		q.Method, q.Algorithm = w.method, w.algorithm
	}
}

func (w way) String() string { return storepath.FormatMethod(w.method, w.algorithm) }

func parseWay(s string) (w way, err error) {
	w.method, w.algorithm, err = storepath.ParseMethod(s)
	return w, err
}

// walkOld: an object that is not fixed is an archive by SHA-256, whatever else
// is said.
func (q *AddToStore) walkOld(f *form) {
	recursive, algorithm := q.Method == storepath.NAR, q.Algorithm
	fixed := !recursive || algorithm != nixhash.SHA256
	if !f.reading() && q.Method != storepath.NAR && q.Method != storepath.Flat {
		f.fail("method", &UnsupportedError{fmt.Sprintf("adding by %v in version %v", q.Method, f.Version)})
	}
	f.boolean("fixed", &fixed)
	f.boolean("recursive", &recursive)
	parsed(f, "algorithm", &algorithm, maxName, nixhash.Algorithm.String, nixhash.ParseAlgorithm)
	if !f.reading() {
		return
	}
	q.Method, q.Algorithm = storepath.Flat, algorithm
	if recursive || !fixed {
		q.Method = storepath.NAR
	}
	if !fixed {
		q.Algorithm = nixhash.SHA256
	}
}

// storeName is the name of a store object.
func (f *form) storeName(field string, name *string) {
	parsed(f, field, name, maxPath, func(s string) string { return s }, func(s string) (string, error) {
		return s, storepath.CheckName(s)
	})
}

// AddTextToStore adds a file that may have references, a derivation for
// instance. Clients below 1.25 send it.
type AddTextToStore struct {
	noStream
	Name       string
	Text       string
	References []storepath.Path
}

func (*AddTextToStore) Op() Op       { return OpAddTextToStore }
func (*AddTextToStore) reply() Reply { return new(Path) }

func (q *AddTextToStore) walk(f *form) {
	f.storeName("name", &q.Name)
	f.longText("text", &q.Text)
	f.paths("references", &q.References)
}

// AddToStoreNar adds an object with all that is known of it. Its archive comes
// framed from 1.23, by [StreamPull] from 1.21, and as it is below.
type AddToStoreNar struct {
	Info          ValidPathInfo
	Repair        bool
	DontCheckSigs bool
}

func (*AddToStoreNar) Op() Op       { return OpAddToStoreNar }
func (*AddToStoreNar) reply() Reply { return new(Nothing) }

func (*AddToStoreNar) Stream(d Dialect) Stream {
	switch {
	case d.Version.AtLeast(23):
		return StreamFramed
	case d.Version.AtLeast(21):
		return StreamPull
	}
	return StreamNAR
}

func (q *AddToStoreNar) walk(f *form) {
	q.Info.walk(f)
	f.boolean("repair", &q.Repair)
	f.boolean("dont check sigs", &q.DontCheckSigs)
}

// AddMultipleToStore adds objects, each after those that it refers to. In the
// frames: a count ([Reader.Int]), and for each a record ([ReadPathInfo]) and its
// archive.
type AddMultipleToStore struct {
	Repair        bool
	DontCheckSigs bool
}

func (*AddMultipleToStore) Op() Op                { return OpAddMultipleToStore }
func (*AddMultipleToStore) reply() Reply          { return new(Nothing) }
func (*AddMultipleToStore) Stream(Dialect) Stream { return StreamFramed }

func (q *AddMultipleToStore) walk(f *form) {
	f.boolean("repair", &q.Repair)
	f.boolean("dont check sigs", &q.DontCheckSigs)
}

// AddSignatures adds signatures to a valid path.
type AddSignatures struct {
	noStream
	Path       storepath.Path
	Signatures []string // sorted
}

func (*AddSignatures) Op() Op       { return OpAddSignatures }
func (*AddSignatures) reply() Reply { return new(One) }

func (q *AddSignatures) walk(f *form) {
	f.path("path", &q.Path)
	f.names("signatures", &q.Signatures)
}

// AddBuildLog adds the log of a derivation, whose text comes framed.
type AddBuildLog struct{ Path storepath.Path }

func (*AddBuildLog) Op() Op                { return OpAddBuildLog }
func (*AddBuildLog) reply() Reply          { return new(One) }
func (*AddBuildLog) Stream(Dialect) Stream { return StreamFramed }

func (q *AddBuildLog) walk(f *form) { f.base("path", &q.Path) }
