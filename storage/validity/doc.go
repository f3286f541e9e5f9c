// Package validity is the database of valid store paths: what each one holds,
// refers to and was made by, which builds failed, and how long builds took. It
// keeps this in Pebble; docs/store.md has the format. It does not know the
// files of the store: who commits a path has flushed its contents before.
//
// A path becomes valid in two stages. [DB.RegisterProvisional] puts records
// into memory, where every query of this process sees them. [DB.Commit] writes
// them, with all provisional paths that they refer to, in one synced batch that
// commits of the same moment share. A crash loses what was provisional and
// nothing else, so a path on disk always has its closure on disk.
//
// Two locks, taken in this order:
//
//   - DB.writing, held over a change of durable records until it is synced, so
//     that reading a record and writing it back is one step, and a batch is in
//     the log before one that depends on it;
//   - overlay.mu, held over a look at or change of the provisional records, and
//     by Unregister from the check for referrers until its deletions are
//     visible, so that no registration slips between. Never held over a sync.
//
// A query looks at the overlay first and at Pebble second: a record leaves the
// overlay only when it is in Pebble.
package validity
