package messages

import "troupe/storage/storepath"

// A fetch is known between a goal and the caches port by the goal's address.

// LookUpPath asks the caches port whether a binary cache has a path. Answered by
// [PathFound], [PathNotFound] or [LookUpFailed], unless [KillFetch] comes first.
type LookUpPath struct {
	From Address
	Path storepath.Path
	// CA is the path's content address where its derivation fixes it. A cache for
	// another store directory has the path under another name.
	CA string `json:",omitempty"`
	// Cache counts the substituters of the settings from 0, in the order in which
	// they are asked.
	Cache int
	// Settings are the client's own; see [Terms].
	Settings string `json:",omitempty"`
}

// PathFound says that the cache has the path, and that whoever is to be trusted
// vouches for it. Sizes are in bytes.
type PathFound struct {
	Name       string           // of the cache
	References []storepath.Path // without the path itself
	NarSize    uint64
	Download   uint64 `json:",omitempty"` // 0 where unknown
}

// PathNotFound says that the cache does not have the path, or has nothing that
// could be taken, or that there is no such cache. More says that there is
// another one after it.
type PathNotFound struct {
	More    bool
	Warning string `json:",omitempty"` // for people
}

// LookUpFailed says that the cache could not be asked.
type LookUpFailed struct {
	More   bool
	Reason string
}

// LookUpRealisations asks the caches port where outputs lie that have no path
// before they are built. Answered by [RealisationsFound], unless [KillFetch] comes
// first.
type LookUpRealisations struct {
	From    Address
	Drv     storepath.Path
	Outputs []string
	// Settings are the client's own; see [Terms].
	Settings string `json:",omitempty"`
}

// RealisationsFound are those that a substituter knows and somebody trusted vouches
// for. What lies there is still to be fetched.
type RealisationsFound struct {
	Outputs    []Output   `json:",omitempty"`
	Signatures [][]string `json:",omitempty"` // of each of Outputs
	Warnings   []string   `json:",omitempty"` // for people
	// Failed is why a substituter could not be asked for one that no other knows.
	Failed string `json:",omitempty"`
}

// FetchPath asks the caches port to make valid, provisionally, what [PathFound]
// told of. The goal holds the path's lock, and all references are valid. Facts for
// observers come meanwhile ([PathProgress]). Answered by [PathFetched] or
// [FetchFailed], unless [KillFetch] comes first.
type FetchPath struct {
	From   Address
	Path   storepath.Path
	Limits Limits `json:",omitzero"`  // of a program that fetches
	Repair bool   `json:",omitempty"` // put it in the place of what is valid
}

// PathFetched says that the path is valid.
type PathFetched struct{}

// FetchFailed says that nothing of the path is here. Gone says that the cache
// does not have it any more, as if it never had. More is as in [PathNotFound].
type FetchFailed struct {
	Gone   bool
	More   bool
	Reason string
}

// KillFetch ends whatever the caches port does or keeps for a goal. To the caches
// port; answered by [FetchKilled] where From is set.
type KillFetch struct {
	Goal Address
	From Address `json:",omitempty"`
}

// FetchKilled says that nothing of the fetch runs any more.
type FetchKilled struct{}

// GoalFetches tells observers what a goal is about to fetch, as soon as that is
// known. Sizes are in bytes. From goal to progress.
type GoalFetches struct {
	Goal     Address
	Path     storepath.Path
	Cache    string // its name
	NarSize  uint64
	Download uint64 `json:",omitempty"`
}

// PathProgress tells observers how much of a path has come. From the caches port
// to progress, a few times a second.
type PathProgress struct {
	Goal     Address
	Unpacked uint64 // bytes of the NAR
	Received uint64 // bytes over the network
}

func (*LookUpPath) message()         {}
func (*PathFound) message()          {}
func (*PathNotFound) message()       {}
func (*LookUpFailed) message()       {}
func (*LookUpRealisations) message() {}
func (*RealisationsFound) message()  {}
func (*FetchPath) message()          {}
func (*PathFetched) message()        {}
func (*FetchFailed) message()        {}
func (*KillFetch) message()          {}
func (*FetchKilled) message()        {}
func (*GoalFetches) message()        {}
func (*PathProgress) message()       {}

func (m *LookUpPath) String() string         { return line(m) }
func (m *PathFound) String() string          { return line(m) }
func (m *PathNotFound) String() string       { return line(m) }
func (m *LookUpFailed) String() string       { return line(m) }
func (m *LookUpRealisations) String() string { return line(m) }
func (m *RealisationsFound) String() string  { return line(m) }
func (m *FetchPath) String() string          { return line(m) }
func (m *PathFetched) String() string        { return line(m) }
func (m *FetchFailed) String() string        { return line(m) }
func (m *KillFetch) String() string          { return line(m) }
func (m *FetchKilled) String() string        { return line(m) }
func (m *GoalFetches) String() string        { return line(m) }
func (m *PathProgress) String() string       { return line(m) }
