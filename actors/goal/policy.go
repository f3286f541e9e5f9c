package goal

import "troupe/storage/storepath"

// Policy is what the settings say about goals.
type Policy struct {
	StoreDir     storepath.Dir
	CacheFailure bool // remember failed outputs
}
