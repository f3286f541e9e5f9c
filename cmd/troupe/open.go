package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"

	"github.com/rs/zerolog"

	"troupe/cmd/troupe/moving"
	"troupe/cmd/troupe/remote"
	"troupe/storage/addition"
	"troupe/storage/derivation"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// access is how a verb uses the store.
type access uint8

const (
	readOnly   access = iota // it must be there already
	readWrite                // it is made if it is not there
	takingOver               // the same, also of a store that is Nix's
)

// openedStore is a store that this process holds.
type openedStore struct {
	layout    location
	db        *validity.DB
	how       access
	optimiser *localstore.Optimiser // nil where it is only read
	optimise  bool                  // what is added is optimised
	features  derivation.Features   // that derivations may take
}

// adder adds to the store.
func (o *openedStore) adder() *addition.Adder {
	a := &addition.Adder{Layout: o.layout, DB: o.db, Admit: o.features.Allow}
	if o.optimise {
		a.Optimiser = o.optimiser
	}
	return a
}

func (o *openedStore) close() error {
	if o.how == readOnly {
		return o.db.Close()
	}
	var err error
	if o.optimiser != nil {
		err = o.optimiser.Close()
	}
	return errors.Join(err, o.layout.Leave(), o.db.Close())
}

// databaseDir is where troupe keeps its metadata, beside Nix's own.
func databaseDir(l location) string { return filepath.Join(l.StateDir, "troupe", "db") }

// openStoreWait takes hold of the store, waiting for another process that has it.
func openStoreWait(s *session, how access, wait bool) (*openedStore, error) {
	st, err := openStoreNow(s, how)
	var held *validity.HeldError
	if !errors.As(err, &held) {
		return st, err
	}
	if !wait {
		return nil, hinted(err, "without --no-wait the command waits until the store is free")
	}
	fmt.Fprintf(s.stderr, "waiting: %v\n", err)
	return openStoreBy(s, how, func(dir string, o validity.Options) (*validity.DB, error) {
		db, err := validity.OpenWait(s.ctx, dir, o)
		if errors.Is(err, context.Canceled) {
			return nil, context.Canceled
		}
		return db, err
	})
}

// openStoreNow takes hold of the store. The error is a [*validity.HeldError] where
// another process has it.
func openStoreNow(s *session, how access) (*openedStore, error) {
	return openStoreBy(s, how, validity.Open)
}

func openStoreBy(s *session, how access, open func(string, validity.Options) (*validity.DB, error)) (*openedStore, error) {
	dir := databaseDir(s.location)
	if err := mayOpen(s, how, dir); err != nil {
		return nil, err
	}
	if how != readOnly {
		if err := localstore.Prepare(s.location, s.settings.BuildUsersGroup); err != nil {
			return nil, err
		}
	}
	db, err := open(dir, validity.Options{Logger: zerolog.New(s.stderr).Level(zerolog.WarnLevel)})
	if err != nil {
		return nil, err
	}
	o := &openedStore{layout: s.location, db: db, how: how, optimise: s.settings.AutoOptimiseStore, features: s.settings.ExperimentalFeatures}
	if how != readOnly { // now that nobody else is at work here
		if err = s.location.CleanStaging(); err == nil {
			o.optimiser, err = localstore.OpenOptimiser(s.location, s.warn)
		}
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return o, nil
}

// mayOpen is why a store is not to be opened, or nil.
func mayOpen(s *session, how access, dir string) error {
	var underway *moving.UnderwayError
	if err := moving.Underway(s.location.StateDir); errors.As(err, &underway) {
		return hinted(err, underway.Command+" goes on with it", "troupe leave gives the store back to Nix")
	} else if err != nil {
		return err
	}
	if how == readOnly && !exists(dir) {
		return hinted(fmt.Errorf("open store '%s': there is none", s.location.RealStoreDir()),
			"--store DIR names another one; troupe build and troupe store add make one")
	}
	if how == readWrite && !exists(dir) && exists(filepath.Join(s.location.StateDir, "db", "db.sqlite")) {
		return hinted(fmt.Errorf("open store '%s': it is in the care of Nix, which does not know what troupe would put there", s.location.RealStoreDir()),
			"troupe --store DIR … uses a store of its own",
			"troupe adopt takes the store over; troupe leave gives it back")
	}
	return nil
}

// records are what is known of valid paths, by whoever has the store.
type knowledge interface {
	Get(storepath.Path) (validity.Info, bool, error)
	Closure(...storepath.Path) iter.Seq2[storepath.Path, error]
	Derivers(storepath.Path) ([]storepath.Path, error)
	All() iter.Seq2[validity.Info, error]
}

// withKnowledge lets f ask what is known of valid paths.
func (s *session) withKnowledge(f func(knowledge) error) error {
	return s.either(readOnly,
		func(st *openedStore) error { return f(st.db) },
		func(client *remote.Client) error { return f(client.Records(s.ctx)) })
}

// either lets one of two have the store: here where this process takes hold of
// it, there where somebody serves it.
func (s *session) either(how access, here func(*openedStore) error, there func(*remote.Client) error) error {
	st, client, err := join(s, how, true)
	switch {
	case err != nil:
		return err
	case client != nil:
		return errors.Join(there(client), client.Close())
	}
	return errors.Join(here(st), st.close())
}

// parsePaths reads store paths as they are given on the command line.
func parsePaths(s *session, args []string) ([]storepath.Path, error) {
	paths := make([]storepath.Path, len(args))
	for i, a := range args {
		p, err := s.location.Dir.Parse(a)
		if err != nil {
			return nil, err
		}
		paths[i] = p
	}
	return paths, nil
}

func collect(seq iter.Seq2[storepath.Path, error]) (all []storepath.Path, err error) {
	for p, err := range seq {
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// notValid says with its full name which path is not valid.
func notValid(s *session, err error) error {
	var missing *validity.NotValidError
	if errors.As(err, &missing) {
		return fmt.Errorf("path '%s' is not valid", s.location.Dir.Join(missing.Path))
	}
	return err
}
