package moving

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/rs/zerolog"

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
	drop := step{"drop", "remove '" + i.Database + "'", i.drop}
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

// drop removes our database. From its first moment on it is nobody's.
func (i *Installation) drop(context.Context, *progress) error {
	dropped := i.Database + ".left"
	if err := os.RemoveAll(dropped); err != nil {
		return err
	}
	if err := os.Rename(i.Database, dropped); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(os.RemoveAll(dropped), os.RemoveAll(i.Database+".adopting"))
}

// forget removes the note of the move: it is over.
func (i *Installation) forget() error {
	err := os.Remove(progressFile(i.Layout.StateDir))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}
