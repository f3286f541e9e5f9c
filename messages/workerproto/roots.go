package workerproto

import "troupe/storage/storepath"

// AddIndirectRoot makes a symbolic link of the client a root. The name is that
// of the link.
type AddIndirectRoot struct {
	noStream
	Name string
}

func (*AddIndirectRoot) Op() Op       { return OpAddIndirectRoot }
func (*AddIndirectRoot) reply() Reply { return new(One) }

func (q *AddIndirectRoot) walk(f *form) { f.text("name", &q.Name, maxPath) }

// AddPermRoot makes a link to a path, and that a root. It is answered by the
// name of the link.
type AddPermRoot struct {
	noStream
	Path storepath.Path
	Name string
}

func (*AddPermRoot) Op() Op       { return OpAddPermRoot }
func (*AddPermRoot) reply() Reply { return new(FileName) }

func (q *AddPermRoot) walk(f *form) {
	f.path("path", &q.Path)
	f.text("name", &q.Name, maxPath)
}

// SyncWithGC does nothing any more.
type SyncWithGC struct{ noArguments }

func (*SyncWithGC) Op() Op       { return OpSyncWithGC }
func (*SyncWithGC) reply() Reply { return new(One) }

// FindRoots asks for the roots.
type FindRoots struct{ noArguments }

func (*FindRoots) Op() Op       { return OpFindRoots }
func (*FindRoots) reply() Reply { return new(Roots) }

// Roots answers [FindRoots], in no order.
type Roots struct{ Roots []Root }

// Root is a link, or what else keeps a path, and the path.
type Root struct {
	Link string // "{censored}" for clients that are not trusted
	Path storepath.Path
}

func (p *Roots) walk(f *form) {
	list(f, "roots", &p.Roots, 16, func(_ string, r *Root) {
		f.text("link", &r.Link, maxPath)
		f.path("path", &r.Path)
	})
}

// GCAction says what a collection does.
type GCAction uint8

const (
	GCReturnLive GCAction = iota
	GCReturnDead
	GCDeleteDead
	GCDeleteSpecific // the paths that are given, if they are dead
)

// CollectGarbage collects garbage.
type CollectGarbage struct {
	noStream
	Action         GCAction
	Paths          []storepath.Path // for [GCDeleteSpecific]; sorted
	IgnoreLiveness bool             // refused to everybody
	MaxFreed       uint64           // bytes after which it ends; 2^64-1 for all
	// With [DeleteReferrers]: every path of the store instead of Paths, or their
	// dead referrers too.
	WholeStore, Referrers bool
}

func (*CollectGarbage) Op() Op       { return OpCollectGarbage }
func (*CollectGarbage) reply() Reply { return new(GCResult) }

func (q *CollectGarbage) walk(f *form) {
	f.small("action", (*uint8)(&q.Action), uint64(GCDeleteSpecific))
	q.scope(f)
	f.boolean("ignore liveness", &q.IgnoreLiveness)
	f.integer("max freed", &q.MaxFreed)
	for range 3 {
		f.constant("obsolete", 0)
	}
}

func (q *CollectGarbage) scope(f *form) {
	if !f.Has(DeleteReferrers) {
		if q.WholeStore || q.Referrers {
			f.fail("paths", &UnsupportedError{"a collection of referrers without the feature " + DeleteReferrers})
		}
		f.paths("paths", &q.Paths)
		return
	}
	f.boolean("whole store", &q.WholeStore)
	if !q.WholeStore {
		f.paths("paths", &q.Paths)
		f.boolean("referrers", &q.Referrers)
	}
}

// GCResult answers [CollectGarbage]. The paths are whole file names, as a
// collection also finds what is no store path.
type GCResult struct {
	Paths      []string // sorted
	BytesFreed uint64
}

func (p *GCResult) walk(f *form) {
	f.fileNames("paths", &p.Paths)
	f.integer("bytes freed", &p.BytesFreed)
	f.constant("obsolete", 0)
}

// OptimiseStore links files that are equal.
type OptimiseStore struct{ noArguments }

func (*OptimiseStore) Op() Op       { return OpOptimiseStore }
func (*OptimiseStore) reply() Reply { return new(One) }

// VerifyStore checks that valid paths are there. It is answered by whether
// errors remain.
type VerifyStore struct {
	noStream
	CheckContents, Repair bool
}

func (*VerifyStore) Op() Op       { return OpVerifyStore }
func (*VerifyStore) reply() Reply { return new(Bool) }

func (q *VerifyStore) walk(f *form) {
	f.boolean("check contents", &q.CheckContents)
	f.boolean("repair", &q.Repair)
}
