package moving

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"troupe/storage/nixdb"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Adopt is how the store comes from Nix to us. The error is [ErrNothing] where we
// have it.
func (i *Installation) Adopt() (*Plan, error) {
	p, err := readProgress(i.Layout.StateDir)
	if err != nil {
		return nil, err
	}
	switch p.Going {
	case adopted:
		return nil, ErrNothing
	case leaving:
		return nil, errors.New("adopt the store: it is being given back to Nix, and that was interrupted: troupe leave finishes it")
	case withNix:
		if err := i.mayAdopt(); err != nil {
			return nil, err
		}
	}
	p.Going = adopting
	plan := i.plan(p, i.adoptSteps())
	plan.final = func(p *progress) { p.Going, p.Done = adopted, nil }
	return plan, nil
}

// mayAdopt looks whether there is something to adopt.
func (i *Installation) mayAdopt() error {
	if !nixdb.Exists(i.Layout.StateDir) {
		return fmt.Errorf("adopt the store: there is no database of Nix in '%s'", nixdb.Dir(i.Layout.StateDir))
	}
	if err := nixdb.CheckSchema(i.Layout.StateDir); err != nil {
		return fmt.Errorf("adopt the store: %w", err)
	}
	if i.loaded() {
		return fmt.Errorf("adopt the store: there is a database of troupe's in '%s' already", i.Database)
	}
	return nil
}

func (i *Installation) adoptSteps() []step {
	steps := []step{
		{"look", "note which of nix-daemon's units run", i.lookAtUnits},
		{"stop nix", "stop nix-daemon.socket and nix-daemon.service, and mask them", i.stopNix},
		{"guard", "keep Nix from opening its database by itself; first wait until no process has it open", i.guard},
		{"load", "read all that Nix knows of valid paths into '" + i.Database + "'", i.load},
		{"install units", "install " + ServiceUnit + " and " + SocketUnit + " in '" + i.UnitDir + "', and start the socket", i.installUnits},
	}
	if i.Systemctl == nil {
		return []step{{"look", "see that no nix-daemon runs (there is no systemd that could stop it)", i.seeNobodyListens}, steps[2], steps[3]}
	}
	return steps
}

func (i *Installation) seeNobodyListens(context.Context, *progress) error {
	if i.Listening() {
		return fmt.Errorf("a daemon listens at '%s': stop it first", i.Socket)
	}
	return nil
}

func (i *Installation) guard(ctx context.Context, _ *progress) error {
	release, err := i.alone(ctx)
	if err != nil {
		return err
	}
	return errors.Join(nixdb.Guard(i.Layout.StateDir), release())
}

func (i *Installation) alone(ctx context.Context) (release func() error, err error) {
	return nixdb.Alone(ctx, i.Layout.StateDir, func() { i.Say("waiting until no process of Nix has the store open") })
}

// loaded reports whether our database has all that Nix's had, and is the one that
// counts: it gets its name only then.
func (i *Installation) loaded() bool {
	_, err := os.Stat(i.Database)
	return err == nil
}

// load makes our database, under another name until it is whole.
func (i *Installation) load(ctx context.Context, _ *progress) error {
	if i.loaded() {
		return nil // only the note of it is lost
	}
	unfinished := i.Database + ".adopting"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	n, err := i.copyRecords(ctx, unfinished)
	if err != nil {
		return fmt.Errorf("load what is valid: %w", err)
	}
	i.Say(fmt.Sprintf("%d paths are valid", n))
	if err := errors.Join(os.Rename(unfinished, i.Database), syncDir(ours(i.Layout.StateDir))); err != nil {
		return fmt.Errorf("load what is valid: %w", err)
	}
	return nil
}

func (i *Installation) copyRecords(ctx context.Context, to string) (n int, err error) {
	from, err := nixdb.Open(i.Layout.StateDir, i.Layout.Dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	infos, err := from.Records(ctx)
	if err != nil {
		return 0, err
	}
	outputs, err := from.Outputs(ctx)
	if err != nil {
		return 0, err
	}
	realised, err := from.Realisations(ctx)
	if err != nil {
		return 0, err
	}
	db, err := validity.Open(to, validity.Options{Logger: zerolog.Nop()})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	regs := []validity.Registration{{Paths: infos, Realisations: realised}}
	paths := make([]storepath.Path, len(infos))
	for n, info := range infos {
		paths[n] = info.Path
		if o := outputs[info.Path]; o != nil {
			regs = append(regs, validity.Registration{Drv: info.Path, Outputs: o})
		}
	}
	if err := db.RegisterProvisional(regs...); err != nil {
		return 0, err
	}
	// What Nix called valid may not be on disk yet.
	if err := i.Layout.Flush(i.Layout.RealStoreDir()); err != nil {
		return 0, err
	}
	return len(infos), db.Commit(ctx, paths...)
}
