package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"troupe/actors/journal"
	"troupe/actors/machines"
	"troupe/actors/slots"
)

type replayCmd struct {
	Policy string `help:"Meet the recorded demand by this policy instead, in virtual time, and compare: shares, first-come or by-name." placeholder:"NAME"`
	File   string `arg:"" optional:"" help:"A journal; - is stdin. Without one, the newest run that the flight recorder has."`
}

func (c *replayCmd) Run(s *session) (err error) {
	j, err := openJournal(s, c.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	if j.Header.Program != version {
		fmt.Fprintf(s.stderr, "note: the journal was recorded by version '%s', this is %s\n", j.Header.Program, version)
	}
	if c.Policy != "" {
		return c.comparePolicies(s, j)
	}
	var m machines.Settings
	if err := json.Unmarshal(j.Header.Settings, &m); err != nil {
		return fmt.Errorf("read the journal's settings: %w", err)
	}
	if _, err := slots.ParsePolicy(string(cmp.Or(m.Slots, slots.Shares))); err != nil {
		return fmt.Errorf("read the journal's settings: %w", err)
	}
	found, err := journal.Replay(j, machines.FixedKinds(), m.Make)
	if err != nil {
		return err
	}
	return c.tell(s, found)
}

func (c *replayCmd) tell(s *session, found journal.Replayed) error {
	_, err := fmt.Fprintf(s.stdout, "%d steps of %d actors replayed in %.3f s, %d actors differ\n",
		found.Steps, found.Actors, found.Elapsed.Seconds(), len(found.Differences))
	if err != nil {
		return err
	}
	if found.Skipped > 0 {
		fmt.Fprintf(s.stderr, "note: %d steps are of actors that the journal does not have from their beginning\n", found.Skipped)
	}
	if found.Cut != nil {
		fmt.Fprintf(s.stderr, "note: replayed up to a cut: %v\n", found.Cut)
	}
	if len(found.Differences) == 0 {
		return nil
	}
	if _, err := fmt.Fprint(s.stdout, found.Differences[0]); err != nil {
		return err
	}
	return &codedError{code: exitFailure, text: "decisions differ from the recorded ones"}
}
