package nixdb

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"troupe/storage/nixhash"
	"troupe/storage/validity"
)

// hasRealisations reports whether there is the table, which Nix makes where
// ca-derivations is enabled.
func hasRealisations(ctx context.Context, tx *sql.Tx) (bool, error) {
	n := 0
	err := tx.QueryRowContext(ctx, "select count(*) from sqlite_master where type = 'table' and name = 'Realisations'").Scan(&n)
	return n > 0, err
}

// Realisations say where floating outputs lie, one for each.
func (d *DB) Realisations(ctx context.Context) ([]validity.Realisation, error) {
	tx, err := d.sql.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read database of Nix: %w", err)
	}
	defer tx.Rollback() // nothing was changed
	rows, err := d.realisations(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("read database of Nix: %w", err)
	}
	all := make([]validity.Realisation, 0, len(rows))
	for _, r := range rows {
		all = append(all, r.is)
	}
	slices.SortFunc(all, func(a, b validity.Realisation) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return all, nil
}

// realised is a row of Realisations.
type realised struct {
	id int64
	is validity.Realisation
}

// realisations are the rows by what they are of; of several the first counts.
func (d *DB) realisations(ctx context.Context, tx *sql.Tx) (map[string]realised, error) {
	if there, err := hasRealisations(ctx, tx); err != nil || !there {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, "select r.id, r.drvPath, r.outputName, v.path, r.signatures from Realisations r join ValidPaths v on r.outputPath = v.id order by r.id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]realised{}
	for rows.Next() {
		var r realised
		var hash, path string
		var sigs sql.NullString
		if err := rows.Scan(&r.id, &hash, &r.is.ID.Output, &path, &sigs); err != nil {
			return nil, err
		}
		if r.is.ID.Hash, err = nixhash.Parse(hash, nixhash.SHA256); err != nil {
			return nil, fmt.Errorf("realisation %d: %w", r.id, err)
		}
		if r.is.Path, err = d.dir.Parse(path); err != nil {
			return nil, fmt.Errorf("realisation %d: %w", r.id, err)
		}
		r.is.Signatures = strings.Fields(sigs.String)
		slices.Sort(r.is.Signatures)
		if _, twice := all[r.is.ID.String()]; !twice {
			all[r.is.ID.String()] = r
		}
	}
	return all, rows.Err()
}

// realise writes where floating outputs lie, once all paths are written. Those of
// paths that are gone went with them.
func (u *update) realise() error {
	there, err := hasRealisations(u.ctx, u.tx)
	if err != nil {
		return err
	}
	known, err := u.d.realisations(u.ctx, u.tx)
	if err != nil {
		return err
	}
	for p, row := range u.rows {
		if !u.seen[p] {
			continue
		}
		all, err := u.from.Realisations(p)
		if err != nil {
			return err
		}
		for _, r := range all {
			if !there {
				u.changes.Lost++
			} else if err := u.realiseOne(row, r, known); err != nil {
				return fmt.Errorf("realisation '%v': %w", r.ID, err)
			}
		}
	}
	return nil
}

func (u *update) realiseOne(row *record, r validity.Realisation, known map[string]realised) error {
	var sigs any = ""
	if len(r.Signatures) > 0 {
		sigs = strings.Join(r.Signatures, " ")
	}
	now, is := known[r.ID.String()]
	switch {
	case !is:
		u.changes.Realised++
		return u.exec("insert into Realisations (drvPath, outputName, outputPath, signatures) values (?, ?, ?, ?)",
			"sha256:"+r.ID.Hash.Base16(), r.ID.Output, row.id, sigs)
	case now.is.Path == r.Path && slices.Equal(now.is.Signatures, r.Signatures) || len(now.is.Signatures)+len(r.Signatures) == 0 && now.is.Path == r.Path:
		return nil
	}
	u.changes.Realised++
	return u.exec("update Realisations set outputPath = ?, signatures = ? where id = ?", row.id, sigs, now.id)
}
