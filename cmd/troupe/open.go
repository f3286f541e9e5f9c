package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"

	"github.com/rs/zerolog"

	"troupe/storage/addition"
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
}

// adder adds to the store.
func (o *openedStore) adder() *addition.Adder {
	a := &addition.Adder{Layout: o.layout, DB: o.db}
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

// openStore takes hold of the store, waiting for another process that has it.
func openStore(s *session, how access) (*openedStore, error) { return openStoreWait(s, how, true) }

func openStoreWait(s *session, how access, wait bool) (*openedStore, error) {
	dir := databaseDir(s.location)
	if how == readOnly && !exists(dir) {
		return nil, hinted(fmt.Errorf("open store '%s': there is none", s.location.RealStoreDir()),
			"--store DIR names another one; troupe build and troupe store add make one")
	}
	if how == readWrite && !exists(dir) && exists(filepath.Join(s.location.StateDir, "db", "db.sqlite")) {
		return nil, hinted(fmt.Errorf("open store '%s': it is in the care of Nix, which does not know what troupe would put there", s.location.RealStoreDir()),
			"troupe --store DIR … uses a store of its own",
			"nix-store --dump-db | troupe store load-db hands the store over; stop nix-daemon first")
	}
	if how != readOnly {
		if err := localstore.Prepare(s.location, s.settings.BuildUsersGroup); err != nil {
			return nil, err
		}
	}
	db, err := openDatabase(s, dir, wait)
	if err != nil {
		return nil, err
	}
	o := &openedStore{layout: s.location, db: db, how: how, optimise: s.settings.AutoOptimiseStore}
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

func openDatabase(s *session, dir string, wait bool) (*validity.DB, error) {
	options := validity.Options{Logger: zerolog.New(s.stderr).Level(zerolog.WarnLevel)}
	db, err := validity.Open(dir, options)
	var held *validity.HeldError
	if !errors.As(err, &held) {
		return db, err
	}
	if !wait {
		return nil, hinted(err, "without --no-wait the command waits until the store is free")
	}
	fmt.Fprintf(s.stderr, "waiting: %v\n", err)
	db, err = validity.OpenWait(s.ctx, dir, options)
	if errors.Is(err, context.Canceled) {
		return nil, context.Canceled
	}
	return db, err
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
