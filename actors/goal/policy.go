package goal

import "troupe/storage/storepath"

// Policy is what the settings say about goals.
type Policy struct {
	StoreDir     storepath.Dir
	CacheFailure bool // remember failed outputs
	// LogCommand is what people are told to read a log with; "" is our own.
	LogCommand string `json:",omitempty"`
}
