package validity

import "sync/atomic"

// Operations counts what was asked of Pebble since the database was opened, and the
// paths that were walked over for closures, which are mostly known without it.
type Operations struct {
	Gets    int64 // single keys
	Scans   int64 // iterators
	Batches int64 // that were written, each synced
	Walked  int64 // paths
	Viewed  int64 // records and entries of indexes that collections looked at
}

// Forgotten counts how often paths were made invalid.
func (db *DB) Forgotten() int64 { return db.asked.forgotten.Load() }

type operations struct{ gets, scans, batches, walked, viewed, forgotten atomic.Int64 }

// Operations are those so far.
func (db *DB) Operations() Operations {
	return Operations{db.asked.gets.Load(), db.asked.scans.Load(), db.asked.batches.Load(), db.asked.walked.Load(), db.asked.viewed.Load()}
}
