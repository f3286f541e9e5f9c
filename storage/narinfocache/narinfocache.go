// Package narinfocache remembers what binary caches said: that they have a path and what of it, that they have it not,
// and what they are. It keeps this in a Pebble database of its own; docs/store.md has the format. All of it may be lost
// at any time, and none of it is trusted: who reads it checks it as if it came from the cache.
package narinfocache

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"
)

// Options of [Open]. The times are how long an answer counts; with 0 it is not kept at all.
type Options struct {
	Positive time.Duration // a path is there: narinfo-cache-positive-ttl
	Negative time.Duration // it is not: narinfo-cache-negative-ttl
	Meta     time.Duration // what a cache says of itself: narinfo-cache-meta-ttl
	// Marker is a file: when somebody deletes it, all answers are forgotten. "" for none.
	Marker string
	// Forgotten is told of that, while a call waits; it must make none of its own. nil for nobody.
	Forgotten func()
	Logger    zerolog.Logger
	FS        vfs.FS           // nil: the machine's
	Now       func() time.Time // nil: the machine's clock
}

// A DB is an open database; its methods may be called at once. What it cannot read or write it does not know: no
// failure of it is anybody's.
type DB struct {
	dir     string
	options Options
	lock    *pebble.Lock
	pebble  *pebble.DB
	marker  *marker // nil: none
}

// Open opens the database in dir, and makes it if it is not there or cannot be read. The error says that somebody else
// has it, or that nothing can be written there.
func Open(dir string, o Options) (*DB, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	db := &DB{dir: dir, options: o}
	if o.Marker != "" {
		db.marker = &marker{file: o.Marker}
	}
	var err error
	if err := o.FS.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open %q: %w", dir, err)
	}
	if db.lock, err = pebble.LockDirectory(dir, o.FS); err != nil {
		return nil, fmt.Errorf("open %q: it is in use: %w", dir, err)
	}
	if err = db.open(); err != nil { // it is not worth a repair
		o.Logger.Warn().Err(err).Str("dir", dir).Msg("begin the cache of narinfos anew")
		if err = db.clear(); err == nil {
			err = db.open()
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %q: %w", dir, err), db.lock.Close())
	}
	return db, nil
}

func (db *DB) open() error {
	var err error
	if db.pebble, err = pebble.Open(db.dir, db.pebbleOptions()); err != nil {
		return err
	}
	if err := db.checkFormat(); err != nil {
		return errors.Join(err, db.pebble.Close())
	}
	return nil
}

// pebbleOptions are for a database that is small beside all else: 100,000 answers are some 60 MB on disk.
func (db *DB) pebbleOptions() *pebble.Options {
	p := &pebble.Options{
		FS:                          db.options.FS,
		Lock:                        db.lock,
		Logger:                      logger{db.options.Logger},
		FormatMajorVersion:          pebble.FormatValueSeparation,
		CacheSize:                   4 << 20,
		MemTableSize:                1 << 20,
		MemTableStopWritesThreshold: 4,
		MaxOpenFiles:                64,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
	}
	p.Experimental.FileCacheShards = 1
	for l := range p.Levels {
		p.Levels[l].FilterPolicy = bloom.FilterPolicy(10)
		p.Levels[l].FilterType = pebble.TableFilter
	}
	return p
}

// checkFormat refuses what another version wrote.
func (db *DB) checkFormat() error {
	value, closer, err := db.pebble.Get(formatKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return db.pebble.Set(formatKey, []byte{formatVersion}, pebble.NoSync)
	}
	if err != nil {
		return err
	}
	found := string(value)
	if err := closer.Close(); err != nil {
		return err
	}
	if found != string([]byte{formatVersion}) {
		return fmt.Errorf("it has version %q", found)
	}
	return nil
}

// lockName is Pebble's own.
const lockName = "LOCK"

func (db *DB) clear() error {
	names, err := db.options.FS.List(db.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name != lockName {
			err = errors.Join(err, db.options.FS.RemoveAll(db.options.FS.PathJoin(db.dir, name)))
		}
	}
	return err
}

// With is the same database, whose answers count for other times.
func (db *DB) With(positive, negative, meta time.Duration) *DB {
	view := *db
	view.options.Positive, view.options.Negative, view.options.Meta = positive, negative, meta
	return &view
}

// Close gives the database back. No other call may be under way.
func (db *DB) Close() error { return errors.Join(db.pebble.Close(), db.lock.Close()) }

// logger passes Pebble's talk on.
type logger struct{ log zerolog.Logger }

func (l logger) Infof(format string, args ...any)  { l.log.Debug().Msgf(format, args...) }
func (l logger) Errorf(format string, args ...any) { l.log.Warn().Msgf(format, args...) }

// Fatalf does not return: Pebble cannot go on. [DB.Remember] asks for space before, so that this is not a full disk.
func (l logger) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
