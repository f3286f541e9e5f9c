// Package nixdb reads and writes the database in which Nix keeps what is valid:
// db.sqlite of schema 10, in the directory db of the state directory. Through it
// a store goes from Nix to us and back with every field of its records.
//
// The tables are those that Nix 2.8.0 and 2.34.8 make.
package nixdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"troupe/storage/nixhash"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Dir is where the database is, below a state directory.
func Dir(stateDir string) string { return filepath.Join(stateDir, "db") }

// file is the database itself.
func file(stateDir string) string { return filepath.Join(Dir(stateDir), "db.sqlite") }

// Exists reports whether there is a database.
func Exists(stateDir string) bool {
	_, err := os.Stat(file(stateDir))
	return err == nil
}

// DB is an open database.
type DB struct {
	sql *sql.DB
	dir storepath.Dir
}

// Open opens the database, which must be there, of a store whose paths are in
// dir. Nix may have it open as well.
func Open(stateDir string, dir storepath.Dir) (*DB, error) {
	name := file(stateDir)
	if _, err := os.Stat(name); err != nil {
		return nil, fmt.Errorf("open database of Nix: %w", err)
	}
	options := url.Values{"mode": {"rw"}, "_txlock": {"immediate"},
		"_pragma": {"foreign_keys(1)", "busy_timeout(60000)", "synchronous(2)"}}
	uri := url.URL{Scheme: "file", Opaque: url.PathEscape(name), RawQuery: options.Encode()}
	db, err := sql.Open("sqlite", uri.String())
	if err != nil {
		return nil, fmt.Errorf("open database of Nix: %w", err)
	}
	db.SetMaxOpenConns(1)
	return &DB{db, dir}, nil
}

// Close closes the database.
func (d *DB) Close() error { return d.sql.Close() }

// record is a row of ValidPaths with its references.
type record struct {
	id   int64
	info validity.Info
}

// Records are all valid paths, sorted.
func (d *DB) Records(ctx context.Context) ([]validity.Info, error) {
	tx, err := d.sql.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read database of Nix: %w", err)
	}
	defer tx.Rollback() // nothing was changed
	all, err := d.read(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("read database of Nix: %w", err)
	}
	infos := make([]validity.Info, len(all))
	for i, r := range all {
		infos[i] = r.info
	}
	return infos, nil
}

// read reads everything, sorted by path.
func (d *DB) read(ctx context.Context, tx *sql.Tx) ([]*record, error) {
	rows, err := tx.QueryContext(ctx, "select id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca from ValidPaths")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*record
	byID := map[int64]*record{}
	for rows.Next() {
		r, err := d.scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
		byID[r.id] = r
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b *record) int { return a.info.Path.Compare(b.info.Path) })
	return all, readReferences(ctx, tx, byID)
}

func (d *DB) scan(rows *sql.Rows) (*record, error) {
	r := &record{}
	var path, hash string
	var deriver, sigs, ca sql.NullString
	var size, ultimate sql.NullInt64
	if err := rows.Scan(&r.id, &path, &hash, &r.info.RegistrationTime, &deriver, &size, &ultimate, &sigs, &ca); err != nil {
		return nil, err
	}
	var err error
	if r.info.Path, err = d.dir.Parse(path); err != nil {
		return nil, err
	}
	if r.info.NarHash, err = nixhash.Parse(hash, nixhash.SHA256); err != nil {
		return nil, fmt.Errorf("'%s': %w", path, err)
	}
	if deriver.String != "" {
		if r.info.Deriver, err = d.dir.Parse(deriver.String); err != nil {
			return nil, fmt.Errorf("deriver of '%s': %w", path, err)
		}
	}
	r.info.NarSize, r.info.Ultimate, r.info.CA = uint64(size.Int64), ultimate.Int64 == 1, ca.String
	r.info.Signatures = strings.Fields(sigs.String)
	slices.Sort(r.info.Signatures)
	return r, nil
}

func readReferences(ctx context.Context, tx *sql.Tx, byID map[int64]*record) error {
	rows, err := tx.QueryContext(ctx, "select referrer, reference from Refs")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var from, to int64
		if err := rows.Scan(&from, &to); err != nil {
			return err
		}
		if byID[from] == nil || byID[to] == nil {
			return fmt.Errorf("a reference from row %d to %d, which is none", from, to)
		}
		r := byID[from]
		r.info.References = append(r.info.References, byID[to].info.Path)
	}
	for _, r := range byID {
		slices.SortFunc(r.info.References, storepath.Path.Compare)
	}
	return rows.Err()
}

// Outputs are the outputs of each valid derivation by name.
func (d *DB) Outputs(ctx context.Context) (map[storepath.Path]map[string]storepath.Path, error) {
	rows, err := d.sql.QueryContext(ctx, "select v.path, o.id, o.path from DerivationOutputs o join ValidPaths v on o.drv = v.id")
	if err != nil {
		return nil, fmt.Errorf("read database of Nix: %w", err)
	}
	defer rows.Close()
	all := map[storepath.Path]map[string]storepath.Path{}
	for rows.Next() {
		var drv, name, path string
		if err := rows.Scan(&drv, &name, &path); err != nil {
			return nil, err
		}
		from, err := d.dir.Parse(drv)
		to, perr := d.dir.Parse(path)
		if err := errors.Join(err, perr); err != nil {
			return nil, fmt.Errorf("read database of Nix: %w", err)
		}
		if all[from] == nil {
			all[from] = map[string]storepath.Path{}
		}
		all[from][name] = to
	}
	return all, rows.Err()
}
