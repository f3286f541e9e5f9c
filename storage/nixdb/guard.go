package nixdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"troupe/storage/pathlock"
)

// schema is the version of the tables that we know. Nix keeps it in a file beside
// the database, and refuses to open one whose version is higher than its own.
const schema = 10

// guarded is added to the version of a database that Nix is not to open. It
// leaves what the version was.
const guarded = 1_000_000

// CheckSchema returns an error if the tables are not those that we know.
func CheckSchema(stateDir string) error {
	version, err := readSchema(stateDir)
	if err == nil && version != schema && version != schema+guarded {
		err = fmt.Errorf("the database of Nix has schema %d, and %d is known", version, schema)
	}
	return err
}

// Guard keeps every program of Nix from opening the database by itself: it refuses,
// and says so. Clients of a daemon do not open it.
func Guard(stateDir string) error { return writeSchema(stateDir, schema+guarded) }

// Unguard takes that back.
func Unguard(stateDir string) error { return writeSchema(stateDir, schema) }

// Guarded reports whether Nix is kept from opening the database.
func Guarded(stateDir string) (bool, error) {
	version, err := readSchema(stateDir)
	return version >= guarded, err
}

func schemaFile(stateDir string) string { return filepath.Join(Dir(stateDir), "schema") }

func readSchema(stateDir string) (int, error) {
	text, err := os.ReadFile(schemaFile(stateDir))
	if err != nil {
		return 0, fmt.Errorf("read schema of Nix's database: %w", err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read schema of Nix's database: '%s': %w", schemaFile(stateDir), err)
	}
	return version, nil
}

// writeSchema replaces the file, so that it is whole at every moment.
func writeSchema(stateDir string, version int) (err error) {
	name := schemaFile(stateDir)
	if now, err := readSchema(stateDir); err != nil || now == version {
		return err
	}
	f, err := os.CreateTemp(Dir(stateDir), ".schema-")
	if err != nil {
		return fmt.Errorf("write schema of Nix's database: %w", err)
	}
	_, err = f.WriteString(strconv.Itoa(version))
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write schema of Nix's database: %w", err), os.Remove(f.Name()))
	}
	return syncDir(Dir(stateDir))
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Alone returns when no process of Nix has the store open: each holds a lock for
// as long as it has. None can open it until the lock is given back. waiting is
// called if there are some.
func Alone(ctx context.Context, stateDir string, waiting func()) (release func() error, err error) {
	name := filepath.Join(Dir(stateDir), "big-lock")
	lock, err := pathlock.TryFile(name)
	if errors.Is(err, pathlock.ErrBusy) {
		waiting()
		lock, err = pathlock.WaitFile(ctx, name)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the database of Nix: %w", err)
	}
	return lock.Unlock, nil
}
