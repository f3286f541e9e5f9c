package nixdb

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"

	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Changes counts what [DB.Update] did. Lost are realisations that a database
// without their table cannot have.
type Changes struct{ Added, Changed, Removed, Realised, Lost int }

// Source is what a database is to say. [validity.DB] is one.
type Source interface {
	All() iter.Seq2[validity.Info, error]
	// Outputs are those of a derivation.
	Outputs(drv storepath.Path) (map[string]storepath.Path, error)
	// Realisations are those that lie at a path.
	Realisations(p storepath.Path) ([]validity.Realisation, error)
}

// Update makes the database say what its source says, and nothing else, in one
// transaction: after an error nothing is changed. Rows that say so already are
// not touched.
func (d *DB) Update(ctx context.Context, from Source) (Changes, error) {
	tx, err := d.sql.BeginTx(ctx, nil)
	if err != nil {
		return Changes{}, fmt.Errorf("write database of Nix: %w", err)
	}
	u := &update{d: d, ctx: ctx, tx: tx, from: from, rows: map[storepath.Path]*record{}, seen: map[storepath.Path]bool{}}
	if err = u.run(); err == nil {
		err = tx.Commit()
	} else {
		tx.Rollback() // the error that led here is told
	}
	if err != nil {
		return Changes{}, fmt.Errorf("write database of Nix: %w", err)
	}
	return u.changes, nil
}

type update struct {
	d       *DB
	ctx     context.Context
	tx      *sql.Tx
	from    Source
	rows    map[storepath.Path]*record // what is there
	seen    map[storepath.Path]bool
	linked  []*record // whose references are to be written
	changes Changes
}

func (u *update) run() error {
	all, err := u.d.read(u.ctx, u.tx)
	if err != nil {
		return err
	}
	for _, r := range all {
		u.rows[r.info.Path] = r
	}
	for info, err := range u.from.All() {
		if err != nil {
			return err
		}
		if err := u.take(info); err != nil {
			return fmt.Errorf("'%s': %w", info.Path.Base(), err)
		}
	}
	for _, r := range u.linked {
		if err := u.link(r); err != nil {
			return fmt.Errorf("references of '%s': %w", r.info.Path.Base(), err)
		}
	}
	if err := u.removeRest(); err != nil {
		return err
	}
	return u.realise()
}

// take writes the row of one path, if it says something else.
func (u *update) take(info validity.Info) error {
	u.seen[info.Path] = true
	slices.Sort(info.Signatures)
	now := u.rows[info.Path]
	if now == nil {
		return u.insert(info)
	}
	if same(now.info, info) {
		return nil
	}
	u.changes.Changed++
	if !slices.Equal(now.info.References, info.References) {
		u.linked = append(u.linked, now)
	}
	now.info = info
	return u.exec("update ValidPaths set path = ?, hash = ?, registrationTime = ?, deriver = ?, narSize = ?, ultimate = ?, sigs = ?, ca = ? where id = ?",
		append(u.fields(info), now.id)...)
}

// same reports whether two records say the same: no list is not another one than
// an empty one.
func same(a, b validity.Info) bool {
	for _, i := range []*validity.Info{&a, &b} {
		if len(i.References) == 0 {
			i.References = nil
		}
		if len(i.Signatures) == 0 {
			i.Signatures = nil
		}
	}
	return reflect.DeepEqual(a, b)
}

func (u *update) insert(info validity.Info) error {
	u.changes.Added++
	done, err := u.tx.ExecContext(u.ctx,
		"insert into ValidPaths (path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca) values (?, ?, ?, ?, ?, ?, ?, ?)", u.fields(info)...)
	if err != nil {
		return err
	}
	id, err := done.LastInsertId()
	if err != nil {
		return err
	}
	r := &record{id, info}
	u.rows[info.Path] = r
	u.linked = append(u.linked, r)
	if !info.Path.IsDerivation() {
		return nil
	}
	outputs, err := u.from.Outputs(info.Path)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		if err := u.exec("insert or replace into DerivationOutputs (drv, id, path) values (?, ?, ?)", id, name, u.d.dir.Join(outputs[name])); err != nil {
			return err
		}
	}
	return nil
}

// fields are the columns of a row as Nix fills them in: what is not known is
// null.
func (u *update) fields(i validity.Info) []any {
	var deriver, size, ultimate, sigs, ca any
	if !i.Deriver.IsZero() {
		deriver = u.d.dir.Join(i.Deriver)
	}
	if i.NarSize != 0 {
		size = int64(i.NarSize)
	}
	if i.Ultimate {
		ultimate = 1
	}
	if len(i.Signatures) > 0 {
		sigs = strings.Join(i.Signatures, " ")
	}
	if i.CA != "" {
		ca = i.CA
	}
	return []any{u.d.dir.Join(i.Path), "sha256:" + i.NarHash.Base16(), i.RegistrationTime, deriver, size, ultimate, sigs, ca}
}

// link writes the references of a path anew.
func (u *update) link(r *record) error {
	if err := u.exec("delete from Refs where referrer = ?", r.id); err != nil {
		return err
	}
	for _, p := range r.info.References {
		to := u.rows[p]
		if to == nil || !u.seen[p] {
			return fmt.Errorf("'%s' is not valid", p.Base())
		}
		if err := u.exec("insert into Refs (referrer, reference) values (?, ?)", r.id, to.id); err != nil {
			return err
		}
	}
	return nil
}

// removeRest removes the paths that were not named. Their references go first:
// they may be to each other.
func (u *update) removeRest() error {
	var gone []*record
	for p, r := range u.rows {
		if !u.seen[p] {
			gone = append(gone, r)
		}
	}
	for _, statement := range []string{"delete from Refs where referrer = ?", "delete from ValidPaths where id = ?"} {
		for _, r := range gone {
			if err := u.exec(statement, r.id); err != nil {
				return fmt.Errorf("remove '%s': %w", r.info.Path.Base(), err)
			}
		}
	}
	u.changes.Removed = len(gone)
	return nil
}

func (u *update) exec(statement string, values ...any) error {
	_, err := u.tx.ExecContext(u.ctx, statement, values...)
	return err
}
