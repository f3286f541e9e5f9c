package goal

import (
	"troupe/messages"
	"troupe/storage/storepath"
)

// Policy is what the settings say about goals.
type Policy struct {
	StoreDir     storepath.Dir
	Limits       messages.Limits
	CacheFailure bool // remember failed outputs
}
