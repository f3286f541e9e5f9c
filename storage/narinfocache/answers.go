package narinfocache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// formatVersion is of keys and records. A database of another version is begun anew.
const formatVersion = 1

// formatKey is about the database, as all are that begin with NUL. The others begin with a cache's name, which does not.
var formatKey = []byte("\x00format")

// spaceReserve is how much of the disk is not ours to fill: Pebble could not go on.
const spaceReserve = 32 << 20

// key is the cache's name, NUL, and the name of the file that the answer is about.
func key(cache, file string) []byte {
	k := append(make([]byte, 0, len(cache)+1+len(file)), cache...)
	return append(append(k, 0), file...)
}

// A record is the time as a varint of seconds since 1970, a byte that is 1 where the cache has the file, and its text.
func record(now time.Time, text []byte, present bool) []byte {
	b := binary.AppendVarint(make([]byte, 0, len(text)+11), now.Unix())
	if !present {
		return append(b, 0)
	}
	return append(append(b, 1), text...)
}

func parse(b []byte) (at time.Time, text []byte, present, ok bool) {
	seconds, n := binary.Varint(b)
	if n <= 0 || n == len(b) || b[n] > 1 || b[n] == 0 && n+1 < len(b) {
		return at, nil, false, false
	}
	return time.Unix(seconds, 0), b[n+1:], b[n] == 1, true
}

// life is how long an answer about a file counts.
func (o *Options) life(file string, present bool) time.Duration {
	switch {
	case !strings.HasSuffix(file, ".narinfo") && !strings.HasSuffix(file, ".doi"):
		if !present { // not a cache: it may become one any time
			return min(o.Meta, o.Negative)
		}
		return o.Meta
	case present:
		return o.Positive
	}
	return o.Negative
}

// counts says whether an answer still does. One from the future does not: the clock was wrong then or is now.
func (o *Options) counts(file string, at, now time.Time, present bool) bool {
	age := now.Sub(at)
	return age > -time.Second && age < o.life(file, present)
}

// Lookup is what a cache last said about one of its files, if that is known and still counts.
func (db *DB) Lookup(cache, file string) (text []byte, present, known bool) {
	if !db.trusted() {
		return nil, false, false
	}
	value, closer, err := db.pebble.Get(key(cache, file))
	if err != nil {
		db.note("read", err)
		return nil, false, false
	}
	at, text, present, ok := parse(value)
	text = bytes.Clone(text)
	if err := closer.Close(); err != nil || !ok || !db.options.counts(file, at, db.options.Now(), present) {
		return nil, false, false
	}
	if !present {
		text = nil
	}
	return text, present, true
}

// Remember keeps an answer. It is on disk at some later time.
func (db *DB) Remember(cache, file string, text []byte, present bool) {
	if db.options.life(file, present) <= 0 || !db.trusted() || !db.hasSpace(len(text)) {
		return
	}
	db.note("write", db.pebble.Set(key(cache, file), record(db.options.Now(), text, present), pebble.NoSync))
}

// Forget drops an answer that turned out to be wrong.
func (db *DB) Forget(cache, file string) {
	if db.trusted() && db.hasSpace(0) {
		db.note("write", db.pebble.Delete(key(cache, file), pebble.NoSync))
	}
}

func (db *DB) hasSpace(bytes int) bool {
	usage, err := db.options.FS.GetDiskUsage(db.dir)
	return err != nil || usage.AvailBytes >= spaceReserve+2*uint64(bytes)
}

// note logs a failure, which is not for the caller.
func (db *DB) note(what string, err error) {
	if err != nil && !errors.Is(err, pebble.ErrNotFound) {
		db.options.Logger.Warn().Err(err).Str("dir", db.dir).Msg(what + " the cache of narinfos")
	}
}

// Purge drops what counts no more, and says how many answers that were; at a few microseconds for each that is there.
// Once a day is often enough.
func (db *DB) Purge() (dropped int, err error) {
	if !db.trusted() {
		return 0, nil
	}
	iter, err := db.pebble.NewIter(nil)
	if err != nil {
		return 0, err
	}
	now := db.options.Now()
	for iter.First(); iter.Valid() && db.hasSpace(0); iter.Next() {
		_, file, ours := strings.Cut(string(iter.Key()), "\x00")
		at, _, present, ok := parse(iter.Value())
		if iter.Key()[0] == 0 || ours && ok && db.options.counts(file, at, now, present) {
			continue
		}
		if err := db.pebble.Delete(iter.Key(), pebble.NoSync); err != nil {
			return dropped, errors.Join(err, iter.Close())
		}
		dropped++
	}
	return dropped, errors.Join(iter.Error(), iter.Close())
}
