package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"troupe/actors"
	"troupe/actors/host"
	"troupe/actors/journal"
)

// flightDir is where the flight recorder keeps its files.
func flightDir(l location) string { return filepath.Join(l.StateDir, "troupe", "journal") }

// record lets the tree's steps go to the flight recorder and, if it is named, to
// a file.
func record(file string, s *session, settings *actors.Settings) (finish func() error, err error) {
	decisions, err := json.Marshal(settings.Machines)
	if err != nil {
		return nil, err
	}
	h := journal.Header{Started: time.Now(), Program: version, Settings: decisions}
	var all journals
	if s.settings.JournalSize > 0 {
		// A build does not fail because it cannot be recorded.
		failed := func(err error) { settings.Logger.Warn().Err(err).Msg("no more steps are recorded") }
		r, err := journal.NewRecorder(journal.RecorderOptions{Dir: flightDir(s.location), Size: int64(s.settings.JournalSize), Header: h, Failed: failed})
		if err != nil {
			failed(err)
		} else {
			all = append(all, r)
		}
	}
	if file != "" {
		w, err := newFileJournal(file, h)
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all = append(all, w)
	}
	if len(all) > 0 {
		settings.Journal = all
	}
	return all.Close, nil
}

// closedJournal is a journal that has an end.
type closedJournal interface {
	host.Journal
	Close() error
}

// journals are several to which the same is written.
type journals []closedJournal

func (j journals) Record(s host.Step) {
	for _, one := range j {
		one.Record(s)
	}
}

func (j journals) Close() (err error) {
	for _, one := range j {
		err = errors.Join(err, one.Close())
	}
	return err
}

// fileJournal is one as lines of JSON.
type fileJournal struct {
	*journal.Writer
	file *os.File
}

func newFileJournal(name string, h journal.Header) (*fileJournal, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	w, err := journal.NewWriter(f, h)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &fileJournal{w, f}, nil
}

func (j *fileJournal) Close() error { return errors.Join(j.Writer.Close(), j.file.Close()) }
