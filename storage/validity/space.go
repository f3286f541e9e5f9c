package validity

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// Pebble ends the process when it cannot write one of its own files, and does
// much of that in the background, where nobody could be told. So it is asked
// before whether there is space: for its log, and for a flush and a compaction
// of what is in memory. To open a database takes less, since who wants to give
// space back has to open it.
const (
	spaceReserve = 32 << 20
	openReserve  = 4 << 20
	filesReserve = 24
)

func (db *DB) checkSpace(b *pebble.Batch) error {
	return db.needSpace("write", spaceReserve+2*uint64(b.Len()))
}

// needSpace is an [ErrDiskFull] where less is left.
func (db *DB) needSpace(what string, bytes uint64) error {
	usage, err := db.fs.GetDiskUsage(db.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s database: %w", what, err)
	}
	if usage.AvailBytes < bytes {
		return fmt.Errorf("%s database: %w: %d KiB are left in %q, and there must be %d", what, ErrDiskFull, usage.AvailBytes>>10, db.dir, bytes>>10)
	}
	if db.holder == nil {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(db.dir, &st); err != nil {
		return fmt.Errorf("%s database: %w", what, err)
	}
	if st.Files > 0 && st.Ffree < filesReserve { // some file systems have no number of files
		return fmt.Errorf("%s database: %w: room for %d files is left in %q, and there must be for %d", what, ErrDiskFull, st.Ffree, db.dir, filesReserve)
	}
	return nil
}
