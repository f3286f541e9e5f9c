package workerproto

import (
	"troupe/storage/nixhash"
	"troupe/storage/storepath"
)

// ValidPathInfo is all that is recorded of a valid path. Its fields are those of
// the database's record, in the same order, so that the one converts to the
// other.
type ValidPathInfo struct {
	Path             storepath.Path
	NarHash          nixhash.Hash     // SHA-256
	NarSize          uint64           // bytes; 0 where unknown
	References       []storepath.Path // sorted; may have Path itself
	Deriver          storepath.Path   // zero where unknown
	RegistrationTime int64            // seconds since 1970
	Ultimate         bool             // made here, not copied from elsewhere
	Signatures       []string         // "<key name>:<base64>", sorted
	CA               string           // content address as Nix writes it; "" for none
}

func (i *ValidPathInfo) walk(f *form) {
	f.path("path", &i.Path)
	i.unkeyed(f)
}

// unkeyed is everything but the path. Every version that is spoken has all of
// it.
func (i *ValidPathInfo) unkeyed(f *form) {
	f.optionalPath("deriver", &i.Deriver)
	f.sha256("nar hash", &i.NarHash)
	f.paths("references", &i.References)
	f.seconds("registration time", &i.RegistrationTime)
	f.integer("nar size", &i.NarSize)
	f.boolean("ultimate", &i.Ultimate)
	f.names("signatures", &i.Signatures)
	f.contentAddress("content address", &i.CA)
}

// ReadPathInfo reads a record that is a message of its own, as
// [AddMultipleToStore] has them in its stream.
func ReadPathInfo(r *Reader, d Dialect) (ValidPathInfo, error) {
	r.Begin()
	var i ValidPathInfo
	err := read(r, d, "path info", i.walk)
	return i, err
}

// WritePathInfo writes what [ReadPathInfo] reads.
func WritePathInfo(w *Writer, i ValidPathInfo, d Dialect) error {
	return write(w, d, "path info", i.walk)
}

// OptionalPathInfo answers [QueryPathInfo]: nil where the path is not valid. The
// path itself is not on the wire.
type OptionalPathInfo struct{ Info *ValidPathInfo }

func (p *OptionalPathInfo) walk(f *form) {
	optional(f, "valid", &p.Info, func(i *ValidPathInfo) { i.unkeyed(f) })
}

// AddedPath answers [AddToStore]. Below 1.25 only the path is on the wire.
type AddedPath struct{ Info ValidPathInfo }

func (p *AddedPath) walk(f *form) {
	if f.Version.AtLeast(25) {
		p.Info.walk(f)
	} else {
		f.path("path", &p.Info.Path)
	}
}
