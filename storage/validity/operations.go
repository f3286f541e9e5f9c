package validity

import "sync/atomic"

// Operations counts what was asked of Pebble since the database was opened.
type Operations struct {
	Gets    int64 // single keys
	Scans   int64 // iterators
	Batches int64 // that were written, each synced
}

type operations struct{ gets, scans, batches atomic.Int64 }

// Operations are those so far.
func (db *DB) Operations() Operations {
	return Operations{db.asked.gets.Load(), db.asked.scans.Load(), db.asked.batches.Load()}
}
