package ports

import (
	"context"
	"errors"
	"fmt"
	"time"

	"troupe/messages"
	"troupe/storage/localstore"
	"troupe/storage/storepath"
	"troupe/storage/validity"
)

// Database answers what goals ask of the store, and commits what the store
// actor decides to commit.
type Database struct {
	out    Outbox
	s      Services
	reads  inOrder
	write  *lanes
	leases *leases
	names  names

	flushFiles func(...string) error

	lost error // why nothing is committed any more; it belongs to the one writer
}

// databaseReads bounds the questions answered at a time.
const databaseReads = 8

// NewDatabase makes the database port.
func NewDatabase(out Outbox, s Services) *Database {
	return &Database{out: out, s: s, reads: inOrder{lanes: newLanes(databaseReads)}, write: newLanes(1), flushFiles: s.Layout.Flush,
		leases: newLeases(s.Roots)}
}

// Handle takes one message.
func (d *Database) Handle(m messages.Message) {
	switch m := m.(type) {
	case *messages.ReadDerivation:
		d.reads.run(func() func() {
			answer := d.readDerivation(m.Drv, m.Settings)
			return func() { d.out.Send(m.From, answer) }
		})
	case *messages.QueryPaths:
		done := d.leases.begin(m.From)
		d.reads.run(func() func() {
			answer := d.queryPaths(m)
			return func() {
				defer done()
				d.out.Send(m.From, answer)
			}
		})
	case *messages.ResolveDerivation:
		done := d.leases.begin(m.From)
		d.reads.lanes.run(func() {
			defer done()
			answer := d.resolve(m)
			if r, ok := answer.(*messages.DerivationResolved); ok {
				// Whatever becomes of the goal: what stays provisional is never garbage.
				d.out.Send(messages.Store, &messages.RegisterPaths{From: messages.Database, Paths: []storepath.Path{r.Drv}})
			}
			d.out.Send(m.From, answer)
		})
	case *messages.PathsRegistered: // that is all there is to it
	case *messages.RecordRealisations:
		done := d.leases.begin(m.From)
		d.reads.lanes.run(func() {
			defer done()
			d.out.Send(m.From, d.record(m))
		})
	case *messages.KeepPaths:
		if err := d.leases.add(m.Owner, m.Paths...); err != nil {
			d.s.Log.Error().Err(err).Str("owner", string(m.Owner)).Msg("keep paths")
		}
	case *messages.ReleasePaths:
		d.leases.release(m)
	case *messages.EpochsOver:
		d.leases.over(m)
	case *messages.CommitPaths:
		d.write.run(func() { d.out.Send(messages.Store, d.commit(m)) })
	case *messages.RecordFailure:
		d.write.run(func() { d.recordFailure(m) })
	default:
		panic(fmt.Sprintf("database: unexpected %v", m))
	}
}

func (d *Database) readDerivation(p storepath.Path, settings string) messages.Message {
	valid, err := d.s.DB.Valid(p)
	if err != nil {
		return &messages.DerivationUnreadable{Status: messages.MiscFailure, Reason: err.Error()}
	}
	if !valid && d.s.Given.find(p) == nil {
		return &messages.DerivationMissing{}
	}
	drv, err := d.s.ReadDerivation(p)
	if err != nil {
		return &messages.DerivationUnreadable{Status: messages.InputRejected, Reason: err.Error()}
	}
	recipe, err := d.recipe(p, drv, settings)
	if err != nil {
		return &messages.DerivationUnreadable{Status: messages.InputRejected,
			Reason: fmt.Sprintf("derivation '%s': %v", d.s.Layout.Dir.Join(p), err)}
	}
	return &messages.DerivationRead{Recipe: recipe}
}

func (d *Database) queryPaths(m *messages.QueryPaths) messages.Message {
	paths := m.Paths
	if err := d.leases.add(m.From, paths...); err != nil {
		return &messages.PathsQueried{Error: err.Error()}
	}
	answer := &messages.PathsQueried{Valid: make([]bool, len(paths)), Failed: make([]bool, len(paths))}
	for i, p := range paths {
		var err error
		if answer.Valid[i], err = d.s.DB.Valid(p); err == nil && !answer.Valid[i] {
			_, answer.Failed[i], err = d.s.DB.HasFailed(p)
		}
		if err != nil {
			return &messages.PathsQueried{Error: err.Error()}
		}
		if answer.Valid[i] && d.s.DB.Provisional(p) {
			answer.Provisional = append(answer.Provisional, p)
		}
	}
	if m.Drv.IsZero() {
		return answer
	}
	var err error
	if answer.Outputs, err = d.realisedOutputs(m.From, m.Drv); err != nil {
		return &messages.PathsQueried{Error: err.Error()}
	}
	for _, o := range answer.Outputs {
		if d.s.DB.Provisional(o.Path) {
			answer.Provisional = append(answer.Provisional, o.Path)
		}
	}
	return answer
}

// commit flushes contents and then commits records, so that no record is on
// disk before what it speaks of.
func (d *Database) commit(m *messages.CommitPaths) messages.Message {
	err := d.flush(d.s.DB.Pending(m.Paths...))
	if err == nil {
		err = d.s.DB.Commit(context.Background(), m.Paths...)
	}
	// A path that was withdrawn since is nobody's concern any more.
	if gone := (*validity.NotValidError)(nil); errors.As(err, &gone) {
		err = nil
	}
	answer := &messages.PathsCommitted{Batch: m.Batch}
	if err != nil {
		answer.Error = err.Error()
	}
	return answer
}

// flush fails for good once something was lost: paths that the next commit is
// asked for again may rest on it.
func (d *Database) flush(paths []storepath.Path) error {
	if d.lost != nil {
		return d.lost
	}
	real := make([]string, len(paths))
	for i, p := range paths {
		real[i] = d.s.Layout.RealPath(p)
	}
	err := d.flushFiles(real...)
	if errors.Is(err, localstore.ErrLost) {
		d.lost = fmt.Errorf("an earlier flush failed, so nothing more is made valid: %w", err)
	}
	return err
}

func (d *Database) recordFailure(m *messages.RecordFailure) {
	f := validity.Failure{Class: m.Status.String(), Time: time.Now().Unix()}
	if err := d.s.DB.RegisterFailed(f, m.Paths...); err != nil {
		d.s.Log.Error().Err(err).Msg("record build failure")
	}
}
