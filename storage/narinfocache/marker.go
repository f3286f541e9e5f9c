package narinfocache

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// markerKey has the name of the marker that the answers are from.
var markerKey = []byte("\x00marker")

// markerText is what a marker says to people; its name is the line after it.
const markerText = "Delete this file and troupe forgets what binary caches have said.\n"

// marker is the file with which all answers go. Nix keeps what caches say in files that people delete when a cache has
// got what it did not have before; they need not know that ours are elsewhere.
type marker struct {
	file string

	mu   sync.Mutex
	seen fs.FileInfo // the file whose name is that of the answers; nil before the first look
	lost bool        // the database's own directory was deleted, too
}

// trusted says whether the answers may be used: it drops them first where their marker is gone, and gives up where all is.
func (db *DB) trusted() bool {
	m := db.marker
	if m == nil {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lost {
		return false
	}
	if _, err := db.options.FS.Stat(db.dir); err != nil { // Pebble must not be asked for files that it does not expect to miss
		m.lost = true
		db.options.Logger.Warn().Err(err).Str("dir", db.dir).Msg("do without the cache of narinfos")
		return false
	}
	now, err := os.Stat(m.file)
	if err == nil && m.seen != nil && os.SameFile(now, m.seen) && now.ModTime().Equal(m.seen.ModTime()) {
		return true
	}
	first := m.seen == nil
	dropped, err := db.follow(m)
	if err != nil {
		db.note("mark", err)
	}
	if dropped && !first && db.options.Forgotten != nil {
		db.options.Forgotten()
	}
	return err == nil
}

// follow makes the answers those of the marker that is there, or of a new one. It says whether others were dropped.
func (db *DB) follow(m *marker) (dropped bool, err error) {
	name, err := m.read()
	if errors.Is(err, fs.ErrNotExist) {
		name, err = m.make()
	}
	if err != nil {
		return false, err
	}
	of, closer, err := db.pebble.Get(markerKey)
	if err == nil {
		same := string(of) == name
		if err := closer.Close(); err != nil || same {
			return false, err
		}
	} else if !errors.Is(err, pebble.ErrNotFound) {
		return false, err
	}
	return true, db.forgetAll(name)
}

// forgetAll drops every answer. Those that come belong to the marker of that name.
func (db *DB) forgetAll(name string) error {
	if !db.hasSpace(0) {
		return errors.New("the disk is full")
	}
	b := db.pebble.NewBatch()
	err := errors.Join(
		b.DeleteRange([]byte{1}, []byte{0xff}, nil), // caches' names begin with "/"
		b.Set(markerKey, []byte(name), nil),
		b.Commit(pebble.NoSync))
	return errors.Join(err, b.Close())
}

// read is the name of the marker that is there, which is noted.
func (m *marker) read() (string, error) {
	st, err := os.Stat(m.file)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(m.file)
	m.seen = st
	return strings.TrimPrefix(string(text), markerText), err
}

// make puts a new marker there. Another process may be faster.
func (m *marker) make() (string, error) {
	if err := os.MkdirAll(filepath.Dir(m.file), 0o755); err != nil {
		return "", err
	}
	temp, err := os.CreateTemp(filepath.Dir(m.file), ".troupe-marker-*")
	if err != nil {
		return "", err
	}
	_, err = temp.WriteString(markerText + rand.Text() + "\n")
	err = errors.Join(err, temp.Chmod(0o644), temp.Close())
	if err == nil {
		err = os.Link(temp.Name(), m.file)
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err = errors.Join(err, os.Remove(temp.Name())); err != nil {
		return "", err
	}
	return m.read()
}
