package validity

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"troupe/storage/pathlock"
)

// formatVersion is of the keys; records have versions of their own. A database of the
// version before lacks the indexes of some paths, until [DB.Index] has made them.
const (
	formatVersion    = 2
	formatUnfinished = 1
)

// Options of [Open]; the zero value is for a database on disk, silent.
type Options struct {
	Logger   zerolog.Logger
	FS       vfs.FS // nil: the machine's, and one process at a time
	ReadOnly bool   // nothing can be committed
}

// A DB is an open database; its methods may be called at once.
type DB struct {
	dir     string
	fs      vfs.FS
	pebble  *pebble.DB
	holder  *pathlock.File // nil with Options.FS
	overlay overlay
	known   known
	asked   operations
	indexed atomic.Bool // see Indexed

	writing sync.Mutex // see the package's documentation
	broken  error      // under writing

	queue sync.Mutex
	next  *group // commits that wait for the next batch; under queue
}

// Open opens the database in dir, and makes both if they are not there. The
// error is a [*HeldError] when another process has it, a [*NewerFormatError]
// when a later program wrote it.
func Open(dir string, o Options) (*DB, error) {
	return open(context.Background(), dir, o, false)
}

// OpenWait is [Open] that waits until no other process has the database, or
// ctx ends.
func OpenWait(ctx context.Context, dir string, o Options) (*DB, error) {
	return open(ctx, dir, o, true)
}

func open(ctx context.Context, dir string, o Options, wait bool) (*DB, error) {
	db := &DB{dir: dir, fs: o.FS, overlay: newOverlay()}
	if o.FS == nil {
		db.fs = vfs.Default
	}
	if err := db.fs.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open %q: %w", dir, err)
	}
	if o.FS == nil {
		lock, err := hold(ctx, dir, wait)
		if err != nil {
			return nil, err
		}
		db.holder = lock
		if err := sign(lock); err != nil {
			return nil, errors.Join(fmt.Errorf("open %q: %w", dir, err), lock.Unlock())
		}
	}
	if err := db.openPebble(o); err != nil {
		return nil, errors.Join(err, db.release())
	}
	if err := db.checkFormat(o.ReadOnly); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// flushName flushes the directories above dir, as far as we may read them:
// others we have not made.
func flushName(fs vfs.FS, dir string) error {
	for above := fs.PathDir(dir); ; above = fs.PathDir(above) {
		d, err := fs.OpenDir(above)
		if errors.Is(err, os.ErrPermission) {
			return nil
		}
		if err != nil {
			return err
		}
		err = d.Sync()
		if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EINVAL) { // it cannot be flushed, nor changed
			err = nil
		}
		if err := errors.Join(err, d.Close()); err != nil || above == fs.PathDir(above) {
			return err
		}
	}
}

// pebbleFormat is the oldest that has all we use. A database that is above it
// was written by a later program.
const pebbleFormat = pebble.FormatValueSeparation

func (db *DB) openPebble(o Options) error {
	desc, err := pebble.Peek(db.dir, db.fs)
	if err != nil {
		return fmt.Errorf("open %q: %w", db.dir, err)
	}
	if !desc.Exists { // what is written from here on survives under its name
		if err := flushName(db.fs, db.dir); err != nil {
			return fmt.Errorf("open %q: %w", db.dir, err)
		}
	}
	if desc.Exists && desc.FormatMajorVersion > pebbleFormat {
		return &NewerFormatError{db.dir, uint64(desc.FormatMajorVersion), uint64(pebbleFormat)}
	}
	if err := db.needSpace("open", openReserve); err != nil {
		return err
	}
	db.pebble, err = pebble.Open(db.dir, pebbleOptions(db.fs, o))
	if err != nil {
		return fmt.Errorf("open %q: %w", db.dir, err)
	}
	return nil
}

// pebbleOptions are for a small database in a small process: 100,000 paths are
// some 80 MB, and a process that builds ten of them should not notice it. Most
// reads of such a process come from the disk's cache, where unpacking a block
// would cost more than reading it, so that blocks are not compressed.
func pebbleOptions(fs vfs.FS, o Options) *pebble.Options {
	p := &pebble.Options{
		FS:                          fs,
		ReadOnly:                    o.ReadOnly,
		Logger:                      logger{o.Logger},
		FormatMajorVersion:          pebbleFormat,
		CacheSize:                   32 << 20,
		MemTableSize:                2 << 20,
		MemTableStopWritesThreshold: 4,
		MaxOpenFiles:                128,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
	}
	p.Experimental.FileCacheShards = 1
	for l := range p.Levels {
		p.Levels[l].FilterPolicy = bloom.FilterPolicy(10)
		p.Levels[l].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		p.Levels[l].FilterType = pebble.TableFilter
	}
	return p
}

func (db *DB) checkFormat(readOnly bool) error {
	value, closer, err := db.pebble.Get(formatKey)
	if errors.Is(err, pebble.ErrNotFound) {
		if readOnly {
			return nil
		}
		db.indexed.Store(true)
		return db.pebble.Set(formatKey, binary.AppendUvarint(nil, formatVersion), pebble.Sync)
	}
	if err != nil {
		return corruption(formatKey, err)
	}
	found, n := binary.Uvarint(value)
	whole := n == len(value)
	if err := closer.Close(); err != nil {
		return err
	}
	if !whole {
		return corrupt(formatKey, errShort)
	}
	if found > formatVersion {
		return &NewerFormatError{db.dir, found, formatVersion}
	}
	db.indexed.Store(found > formatUnfinished)
	return nil
}

// Close forgets what is provisional and gives the database back. No other call
// may be under way.
func (db *DB) Close() error {
	err := db.pebble.Close()
	return errors.Join(err, db.release())
}

// release empties the holder file, so that nobody is told of us, and unlocks it.
func (db *DB) release() error {
	if db.holder == nil {
		return nil
	}
	return errors.Join(db.holder.Descriptor().Truncate(0), db.holder.Unlock())
}

// logger passes Pebble's talk on. It is all about the engine's own files.
type logger struct{ log zerolog.Logger }

func (l logger) Infof(format string, args ...any)  { l.log.Debug().Msgf(format, args...) }
func (l logger) Errorf(format string, args ...any) { l.log.Error().Msgf(format, args...) }

// Fatalf does not return. Where a commit is under way it ends as that commit's
// error; elsewhere Pebble cannot go on and the process ends.
func (l logger) Fatalf(format string, args ...any) {
	f := &fatalError{text: fmt.Sprintf(format, args...)}
	for _, a := range args {
		if err, ok := a.(error); ok {
			f.cause = err
		}
	}
	panic(f)
}

// fatalError is Pebble's last word.
type fatalError struct {
	text  string
	cause error // nil where Pebble gives none
}

func (f *fatalError) Error() string { return f.text }
func (f *fatalError) Unwrap() error { return f.cause }
