package moving

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"troupe/storage/localstore"
	"troupe/storage/nixdb"
	"troupe/storage/validity"
)

// Leave is how the store goes back to Nix, also from a half adoption. The error is
// [ErrNothing] where Nix has it.
func (i *Installation) Leave() (*Plan, error) {
	p, err := readProgress(i.Layout.StateDir)
	if err != nil {
		return nil, err
	}
	switch p.Going {
	case withNix:
		return nil, ErrNothing
	case adopting, adopted:
		p.Going, p.Done = leaving, nil
	}
	plan := i.plan(p, i.leaveSteps(i.loaded()))
	plan.final = func(p *progress) { p.Going = withNix }
	return plan, nil
}

func (i *Installation) leaveSteps(loaded bool) []step {
	stop := step{"stop troupe", "stop " + SocketUnit + " and " + ServiceUnit + ", and remove them from '" + i.UnitDir + "'", i.removeUnits}
	write := step{"write back", "write what has changed into Nix's database", i.writeBack}
	unguard := step{"unguard", "let Nix open its database again", i.unguard}
	start := step{"start nix", "unmask nix-daemon's units, and start those that ran", i.startNix}
	drop := step{"drop", "remove '" + i.Database + "', and what else is troupe's beside the store", i.drop}
	if i.Systemctl == nil {
		stop = step{"stop troupe", "see that no daemon runs (there is no systemd that could stop it)", i.seeNobodyListens}
	}
	steps := []step{stop}
	if loaded {
		steps = append(steps, write)
	}
	steps = append(steps, unguard)
	if i.Systemctl != nil {
		steps = append(steps, start)
	}
	return append(steps, drop)
}

// writeBack makes Nix's database say what ours does.
func (i *Installation) writeBack(ctx context.Context, _ *progress) (err error) {
	release, err := i.alone(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	db, err := validity.Open(i.Database, validity.Options{Logger: zerolog.Nop()})
	var held *validity.HeldError
	if errors.As(err, &held) {
		i.Say("waiting: " + err.Error())
		db, err = validity.OpenWait(ctx, i.Database, validity.Options{Logger: zerolog.Nop()})
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	nix, err := nixdb.Open(i.Layout.StateDir, i.Layout.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, nix.Close()) }()
	did, err := nix.Update(ctx, db)
	if err == nil {
		i.Say(fmt.Sprintf("%d paths added, %d changed, %d removed", did.Added, did.Changed, did.Removed))
	}
	if did.Lost > 0 {
		i.Say(fmt.Sprintf("where %d floating outputs lie is lost: ca-derivations was never enabled in Nix", did.Lost))
	}
	return err
}

func (i *Installation) unguard(context.Context, *progress) error {
	return nixdb.Unguard(i.Layout.StateDir)
}

// drop removes our database, which is nobody's from its first moment on, and what
// else we have beside Nix: journals, caches and directories.
func (i *Installation) drop(context.Context, *progress) error {
	dropped := i.Database + ".left"
	if err := os.RemoveAll(dropped); err != nil {
		return err
	}
	if err := os.Rename(i.Database, dropped); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all, err := os.ReadDir(ours(i.Layout.StateDir))
	errs := []error{err, os.RemoveAll(dropped), removeEmpty(i.Layout.BuildsDir())}
	for _, e := range all {
		if path := filepath.Join(ours(i.Layout.StateDir), e.Name()); path != progressFile(i.Layout.StateDir) {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	_, err = localstore.Remove(i.Layout.StagingDir())
	return errors.Join(append(errs, err)...)
}

// forget removes the note of the move: it is over.
func (i *Installation) forget() error {
	note := progressFile(i.Layout.StateDir)
	if err := os.Remove(note); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return removeEmpty(ours(i.Layout.StateDir))
}

// removeEmpty removes a directory unless there is something in it, which is
// somebody's.
func removeEmpty(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		return nil
	}
	return &os.PathError{Op: "remove", Path: dir, Err: err}
}
